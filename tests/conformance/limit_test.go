package conformance

import (
	"bufio"
	"context"
	"flag"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

// Some specs wait without a deadline for what a cluster may not have, and would hold a process for as long as the suite may run.
var specsFile = flag.String("specs", "", "file with a line a spec, upstream's seconds first and the name last: each gets a time limit by it")

// A loaded machine takes several times as long; where specs wait for something themselves, most do so for less than the floor.
const (
	limitFloor    = 3 * time.Minute
	limitFactor   = 3
	limitNotKnown = 10 * time.Minute
)

// limitSpecs must come before the specs are made. A spec beyond its limit ends as timed out, and the process takes the next.
func limitSpecs() error {
	if *specsFile == "" {
		return nil
	}
	seconds, err := readSeconds(*specsFile)
	if err != nil {
		return err
	}
	ginkgo.AddTreeConstructionNodeArgsTransformer(func(kind types.NodeType, _ ginkgo.Offset, text string, args []any) (string, []any, []error) {
		if kind == types.NodeTypeIt && canEnd(args) {
			args = append(args, ginkgo.NodeTimeout(limit(seconds, leafText(text, args))))
		}
		return text, args, nil
	})
	return nil
}

func readSeconds(path string) (map[string]float64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	seconds := map[string]float64{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		columns := strings.Split(lines.Text(), "\t")
		if s, err := strconv.ParseFloat(columns[0], 64); err == nil {
			seconds[columns[len(columns)-1]] = s
		}
	}
	return seconds, lines.Err()
}

// Only who takes a context can be told to end; who has a limit of its own keeps it.
func canEnd(args []any) bool {
	takesContext := false
	for _, arg := range args {
		switch arg.(type) {
		case func(context.Context), func(ginkgo.SpecContext):
			takesContext = true
		case ginkgo.NodeTimeout, ginkgo.SpecTimeout:
			return false
		}
	}
	return takesContext
}

// The framework takes a spec's text among its arguments, and adds tags to it later.
func leafText(text string, args []any) string {
	for _, arg := range args {
		if s, isText := arg.(string); isText && text == "" {
			text = s
		}
	}
	return text
}

// Several specs may end in the same words: the longest counts.
func limit(seconds map[string]float64, leaf string) time.Duration {
	longest, isKnown := 0.0, false
	for name, s := range seconds {
		if strings.Contains(name, leaf) {
			longest, isKnown = max(longest, s), true
		}
	}
	if !isKnown {
		return limitNotKnown
	}
	return limitFloor + time.Duration(limitFactor*longest*float64(time.Second))
}
