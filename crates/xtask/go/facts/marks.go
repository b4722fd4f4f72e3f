package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"
)

func typeMarks(definition spec.Schema) string {
	text := ""
	if mapType, ok := definition.Extensions.GetString("x-kubernetes-map-type"); ok {
		text += " merge=" + mapType
	}
	if unions, ok := definition.Extensions["x-kubernetes-unions"]; ok {
		text += " unions=" + compact(unions)
	}
	return text
}

func fieldMarks(field reflect.StructField, jsonParts []string, property spec.Schema, required bool) []string {
	var marks []string
	add := func(format string, args ...any) { marks = append(marks, fmt.Sprintf(format, args...)) }
	if required {
		add("required")
	}
	pointer := field.Type.Kind() == reflect.Pointer
	if pointer {
		add("pointer")
	}
	for _, option := range jsonParts[1:] {
		switch option {
		case "omitempty", "omitzero":
			add("%s", option)
		case "inline":
		default:
			fail("unknown json option %q of %s", option, field.Name)
		}
	}
	if merge := mergeMark(property); merge != "" {
		add("merge=%s", merge)
	}
	if strategy := field.Tag.Get("patchStrategy"); strategy != "" {
		add("patch=%s", strings.ReplaceAll(strategy, ",", "+"))
	}
	if key := field.Tag.Get("patchMergeKey"); key != "" {
		add("key=%s", key)
	}
	if property.Default != nil && !isEnforcedZero(property.Default, pointer || slices.Contains(jsonParts, "omitempty")) {
		add("default=%s", compact(property.Default))
	}
	if enum := enumOf(property); len(enum) > 0 {
		var values []string
		for _, value := range enum {
			values = append(values, value.(string))
		}
		slices.Sort(values)
		add("enum=%s", strings.ReplaceAll(strings.Join(values, ","), " ", "%20"))
	}
	return marks
}

// The values of a string, or of the strings in a list or map.
func enumOf(property spec.Schema) []any {
	switch {
	case property.Items != nil && property.Items.Schema != nil:
		return property.Items.Schema.Enum
	case property.AdditionalProperties != nil && property.AdditionalProperties.Schema != nil:
		return property.AdditionalProperties.Schema.Enum
	}
	return property.Enum
}

// A plain Go value always has its zero; only what differs from it, or stands where a value may be left out, is a default worth noting.
func isEnforcedZero(value any, optional bool) bool {
	text := compact(value)
	return text == "{}" || !optional && (text == `""` || text == "0" || text == "false")
}

func mergeMark(property spec.Schema) string {
	if mapType, ok := property.Extensions.GetString("x-kubernetes-map-type"); ok {
		return mapType
	}
	listType, ok := property.Extensions.GetString("x-kubernetes-list-type")
	if !ok {
		return ""
	}
	if listType != "map" {
		return listType
	}
	keys, _ := property.Extensions.GetStringSlice("x-kubernetes-list-map-keys")
	return "map:" + strings.Join(keys, ",")
}

func compact(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		fail("%v", err)
	}
	return strings.ReplaceAll(string(text), " ", `\u0020`)
}
