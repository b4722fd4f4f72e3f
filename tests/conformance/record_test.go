package conformance

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/onsi/ginkgo/v2"
)

// The runner speaks of a spec when it has ended and reports when all have. Who watches wants to know what runs now, and who
// interrupts wants to keep what there is: so each process notes beginnings and ends as they come, and keeps each spec's own log.
var recordDir = flag.String("record-dir", "", "folder for events.jsonl (each spec's beginning and end) and logs/ (what each spec said)")

// A line of events.jsonl; without a state it is a beginning.
type event struct {
	Spec    string  `json:"spec"`
	State   string  `json:"state,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Message string  `json:"message,omitempty"`
}

// Lines are written by many processes into one file, which is safe for short ones.
const messageBytesMax = 2000

// recordSpecs must come after the flags are read: that goes through all specs once without running them, on a copy of the suite
// which then takes the place of the first and has lost what stands outside of containers.
func recordSpecs() {
	if *recordDir == "" {
		return
	}
	ginkgo.ReportBeforeEach(func(report ginkgo.SpecReport) {
		if isRun(report) {
			record(event{Spec: report.FullText()})
		}
	})
	ginkgo.ReportAfterEach(func(report ginkgo.SpecReport) {
		if isRun(report) {
			recordEnd(report)
		}
	})
}

func isRun(report ginkgo.SpecReport) bool {
	state := report.State.String()
	return state != "pending" && (state != "skipped" || report.RunTime > 0)
}

func recordEnd(report ginkgo.SpecReport) {
	state, seconds, message := report.State.String(), report.RunTime.Seconds(), report.Failure.Message
	log := fmt.Sprintf("%s\n%s after %.1f s\n\n%s%s", report.FullText(), state, seconds, report.CapturedGinkgoWriterOutput, report.CapturedStdOutErr)
	if report.Failed() {
		log += fmt.Sprintf("\n%s\n%s\n", message, report.Failure.Location)
	}
	_ = os.WriteFile(filepath.Join(*recordDir, "logs", fileName(report.FullText())+".log"), []byte(log), 0o644)
	if len(message) > messageBytesMax {
		message = message[:messageBytesMax]
	}
	record(event{report.FullText(), state, seconds, message})
}

func record(e event) {
	line, err := json.Marshal(e)
	if err != nil {
		return
	}
	file, err := os.OpenFile(filepath.Join(*recordDir, "events.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	defer file.Close()
	_, _ = file.Write(append(line, '\n'))
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// fileName leaves words; the file system takes 255 bytes.
func fileName(spec string) string {
	name := strings.Trim(notInNames.ReplaceAllString(spec, "-"), "-")
	if len(name) > 200 {
		name = name[:200]
	}
	return name
}
