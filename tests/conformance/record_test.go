package conformance

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/onsi/ginkgo/v2"
)

// The runner speaks of a spec when it has ended and reports when all have. Who watches wants to know what runs now, and who
// interrupts wants to keep what there is: so each process notes beginnings and ends as they come, and keeps each spec's own log.
var recordDir = flag.String("record-dir", "", "folder for events.jsonl (each spec's beginning and end) and logs/ (what each spec said)")

// Reading the flags goes through all specs once without running them, which is nobody's beginning or end.
var isRecording bool

// A line of events.jsonl; without a state it is a beginning.
type event struct {
	Spec    string  `json:"spec"`
	State   string  `json:"state,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Message string  `json:"message,omitempty"`
}

// Lines are written by many processes into one file, which is safe for short ones.
const messageBytesMax = 2000

var _ = ginkgo.ReportBeforeEach(func(report ginkgo.SpecReport) {
	if isRecording && report.State.String() != "skipped" && report.State.String() != "pending" {
		record(event{Spec: report.FullText()})
	}
})

var _ = ginkgo.ReportAfterEach(func(report ginkgo.SpecReport) {
	if !isRecording || report.State.String() == "skipped" || report.State.String() == "pending" {
		return
	}
	message := report.Failure.Message
	if len(message) > messageBytesMax {
		message = message[:messageBytesMax]
	}
	record(event{report.FullText(), report.State.String(), report.RunTime.Seconds(), message})
	log := fmt.Sprintf("%s\n%s after %.1f s\n\n%s%s", report.FullText(), report.State, report.RunTime.Seconds(),
		report.CapturedGinkgoWriterOutput, report.CapturedStdOutErr)
	if report.Failed() {
		log += fmt.Sprintf("\n%s\n%s\n", report.Failure.Message, report.Failure.Location.String())
	}
	_ = os.WriteFile(filepath.Join(*recordDir, "logs", fileName(report.FullText())+".log"), []byte(log), 0o644)
})

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
	name := notInNames.ReplaceAllString(spec, "-")
	if len(name) > 200 {
		name = name[:200]
	}
	return name
}
