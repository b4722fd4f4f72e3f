// Prints the types of the API and their fields as text: what Go's struct tags say (names, protobuf tags, pointers, omitempty,
// patch strategies) joined with what the generated OpenAPI definitions say (required, list and map types, defaults, enums).
//
// Run through `cargo xtask gen-facts`. The format is described in crates/kinds/src/table.rs, which reads it.
// Fails on anything it does not know how to write, so that a new kind of field cannot slip through unseen.
package main

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/generated/openapi"
)

func main() {
	w := walker{
		definitions: openapi.GetOpenAPIDefinitions(func(path string) spec.Ref { return spec.MustCreateRef(path) }),
		kinds:       map[reflect.Type][]schema.GroupVersionKind{},
		blocks:      map[string]string{},
	}
	w.collect(allKinds())
	for t := range w.kinds {
		w.visit(t)
	}
	w.visit(reflect.TypeFor[version.Info]())
	w.print(os.Stdout)
}

type walker struct {
	definitions map[string]common.OpenAPIDefinition
	kinds       map[reflect.Type][]schema.GroupVersionKind
	blocks      map[string]string
}

// collect notes which kinds each Go type serves. Internal versions have no wire form.
func (w *walker) collect(s *runtime.Scheme) {
	for gvk, t := range s.AllKnownTypes() {
		internal := gvk.Version == runtime.APIVersionInternal || t.PkgPath() == "k8s.io/apimachinery/pkg/apis/meta/internalversion"
		if internal || isRemoved(t) {
			continue
		}
		w.kinds[t] = append(w.kinds[t], gvk)
	}
}

func (w *walker) print(out *os.File) {
	buffered := bufio.NewWriter(out)
	defer buffered.Flush()
	names := make([]string, 0, len(w.blocks))
	for name := range w.blocks {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprint(buffered, w.blocks[name])
	}
}

func nameOf(t reflect.Type) string {
	if named, ok := reflect.New(t).Interface().(interface{ OpenAPIModelName() string }); ok {
		return named.OpenAPIModelName()
	}
	return util.ToRESTFriendlyName(t.PkgPath() + "." + t.Name())
}

// visit writes one struct and all it reaches.
func (w *walker) visit(t reflect.Type) {
	name := nameOf(t)
	if _, seen := w.blocks[name]; seen {
		return
	}
	w.blocks[name] = "" // guards against recursion: JSONSchemaProps holds itself
	definition := w.definitions[name].Schema
	var block strings.Builder
	fmt.Fprintf(&block, "type %s%s%s\n", name, kindsText(w.kinds[t]), typeMarks(definition))
	w.fields(&block, t, definition, "")
	w.blocks[name] = block.String()
}

// alike are kinds that are not served any more but still taken as bodies, in the form of another version.
var alike = map[string]string{"policy/v1/Eviction": "policy/v1beta1/Eviction"}

// kindsText folds a type that is registered in every group (options, WatchEvent) into one row.
func kindsText(kinds []schema.GroupVersionKind) string {
	const everyGroup = 20
	texts := []string{}
	for _, gvk := range kinds {
		text := gvk.Group + "/" + gvk.Version + "/" + gvk.Kind
		texts = append(texts, text)
		if older, is := alike[text]; is {
			texts = append(texts, older)
		}
	}
	sort.Strings(texts)
	texts = slices.Compact(texts)
	if len(texts) > everyGroup {
		return " kind=*/*/" + kinds[0].Kind
	}
	if len(texts) == 0 {
		return ""
	}
	return " kind=" + strings.Join(texts, ",")
}

// fields writes the fields of `t`; those of inline structs stand among them, with the protobuf tags they lie under.
func (w *walker) fields(block *strings.Builder, t reflect.Type, definition spec.Schema, within string) {
	for i := range t.NumField() {
		field := t.Field(i)
		jsonTag, hasJSON := field.Tag.Lookup("json")
		parts := strings.Split(jsonTag, ",")
		if parts[0] == "-" || (!hasJSON && !field.Anonymous && field.Tag.Get("protobuf") == "") || !field.IsExported() {
			continue
		}
		tag := protobufTag(field)
		if parts[0] == "" && (field.Anonymous || slices.Contains(parts, "inline")) {
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				fail("inline pointer %s.%s", t, field.Name)
			}
			// Tag 0: not on the protobuf wire (TypeMeta).
			w.fields(block, inner, definition, strings.TrimPrefix(within+"."+tag+":"+field.Name, "."))
			continue
		}
		name := parts[0]
		if name == "" {
			name = field.Name
		}
		if strings.HasPrefix(within, "0:") {
			tag = "0"
		}
		property := definition.Properties[name]
		fmt.Fprintf(block, " %s %s %s", name, tag, w.shape(field.Type, t, field.Name))
		marks := fieldMarks(field, parts, property, slices.Contains(definition.Required, name))
		if within != "" {
			marks = append(marks, "within="+within)
		}
		if goType := goName(field.Type); goType != w.derivedName(field.Type) {
			marks = append(marks, "go="+goType)
		}
		for _, mark := range marks {
			fmt.Fprintf(block, " %s", mark)
		}
		block.WriteString("\n")
	}
}

// goName is how Go's own decoder names a type in its errors.
func goName(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return strings.ReplaceAll(t.String(), " ", "")
}

// derivedName is what a reader of the table can tell from the shape alone.
func (w *walker) derivedName(t reflect.Type) string {
	if _, ok := special[t.PkgPath()+"."+t.Name()]; ok || t.Kind() == reflect.Struct {
		return t.String()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.derivedName(t.Elem())
	case reflect.Slice:
		return "[]" + w.derivedName(t.Elem())
	case reflect.Map:
		return "map[string]" + w.derivedName(t.Elem())
	case reflect.Interface:
		return goName(t)
	default:
		return t.Kind().String()
	}
}

func protobufTag(field reflect.StructField) string {
	parts := strings.Split(field.Tag.Get("protobuf"), ",")
	if len(parts) < 2 {
		return "0"
	}
	return parts[1]
}

// Types with their own JSON form, by package path and name.
var special = map[string]string{
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":                                             "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":                                        "microtime",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration":                                         "duration",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":                                         "fields",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":                                         "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":                                       "intorstring",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":                                          "any",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON":                         "any",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray":       "schemaorlist",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool":        "schemaorbool",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "schemaorstrings",
}

func (w *walker) shape(t, owner reflect.Type, field string) string {
	if shape, ok := special[t.PkgPath()+"."+t.Name()]; ok {
		return shape
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.shape(t.Elem(), owner, field)
	case reflect.Bool:
		return "bool"
	case reflect.Int32, reflect.Uint8:
		return "int32"
	case reflect.Int64, reflect.Int:
		return "int64"
	case reflect.Float64:
		return "double"
	case reflect.String:
		return "string"
	case reflect.Interface:
		return "any"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + w.shape(t.Elem(), owner, field)
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return "{}" + w.shape(t.Elem(), owner, field)
		}
	case reflect.Struct:
		w.visit(t)
		return nameOf(t)
	}
	fail("no shape for %s.%s of %s", owner, field, t)
	return ""
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}
