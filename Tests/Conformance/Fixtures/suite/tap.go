// Package tap prints results in the Test Anything Protocol (https://testanything.org/tap-version-13-specification.html).
//
// It is what the programs of the OCI validation suite need of github.com/mndrix/tap-go, which Debian does not have.
package tap

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// T numbers the results of one program.
type T struct {
	// Writer is where the results go; standard output where it is nil.
	Writer io.Writer
	count  *int
	todo   bool
}

// New begins a series of results.
func New() *T { return &T{count: new(int)} }

// Todo gives the same series, for a result that is not expected to be good yet.
func (t *T) Todo() *T { return &T{Writer: t.Writer, count: t.count, todo: true} }

func (t *T) print(format string, arguments ...interface{}) {
	writer := t.Writer
	if writer == nil {
		writer = os.Stdout
	}
	fmt.Fprintf(writer, format, arguments...)
}

// Header prints the version, and the plan where the number of results is known before.
func (t *T) Header(count int) {
	t.print("TAP version 13\n")
	if count > 0 {
		t.print("1..%d\n", count)
	}
}

// Ok prints one result.
func (t *T) Ok(passed bool, description string) {
	*t.count++
	word := "ok"
	if !passed {
		word = "not ok"
	}
	if t.todo {
		description += " # TODO"
	}
	t.print("%s %d - %s\n", word, *t.count, description)
}

// Pass prints a result that is good.
func (t *T) Pass(description string) { t.Ok(true, description) }

// Fail prints one that is not.
func (t *T) Fail(description string) { t.Ok(false, description) }

// Skip prints as many results that could not be had.
func (t *T) Skip(count int, description string) {
	for i := 0; i < count; i++ {
		*t.count++
		t.print("ok %d # SKIP %s\n", *t.count, description)
	}
}

// AutoPlan prints how many results there were.
func (t *T) AutoPlan() { t.print("1..%d\n", *t.count) }

// Diagnostic prints a remark.
func (t *T) Diagnostic(text string) { t.print("# %s\n", strings.Replace(text, "\n", "\n# ", -1)) }

// Diagnosticf prints a remark.
func (t *T) Diagnosticf(format string, arguments ...interface{}) {
	t.Diagnostic(fmt.Sprintf(format, arguments...))
}

// YAML prints a value that belongs to the last result; JSON is YAML.
func (t *T) YAML(value interface{}) error {
	text, err := json.MarshalIndent(value, "  ", "  ")
	if err != nil {
		return err
	}
	t.print("  ---\n  %s\n  ...\n", text)
	return nil
}
