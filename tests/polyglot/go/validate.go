// Validates messages with santhosh-tekuri/jsonschema: each line of standard input is a question, each line of standard
// output an answer.
//
// Question: {"schema": TEXT, "instances": [TEXT, ...]}, all of them JSON texts. Answer: {"results": [{"valid": true,
// "errors": [{"pointer": TEXT, "keyword": TEXT}, ...]}, ...]}, or {"error": TEXT} if the schema does not compile. A pointer
// is null if the engine reports a wrong one.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"runtime/debug"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

const module = "github.com/santhosh-tekuri/jsonschema/v6"

type question struct {
	Schema    string
	Instances []string
}

type fault struct {
	Pointer *string `json:"pointer"`
	Keyword string  `json:"keyword"`
}

type result struct {
	Valid  bool    `json:"valid"`
	Errors []fault `json:"errors"`
}

type answer struct {
	Results []result `json:"results"`
	Error   string   `json:"error,omitempty"`
}

func compile(text string) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		return nil, err
	}
	return compiler.Compile("schema.json")
}

func judge(schema *jsonschema.Schema, text string) (result, error) {
	instance, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return result{}, err
	}
	err = schema.Validate(instance)
	var refused *jsonschema.ValidationError
	if errors.As(err, &refused) {
		return result{Errors: faults(refused, nil)}, nil
	}
	return result{Valid: err == nil}, err
}

// Errors form a tree. An error that only summarises the errors below it has no keyword.
func faults(refused *jsonschema.ValidationError, found []fault) []fault {
	if name := keyword(refused.ErrorKind); name != "" {
		found = append(found, fault{pointer(refused), name})
	}
	for _, cause := range refused.Causes {
		found = faults(cause, found)
	}
	return found
}

// The engine reports the keyword of each kind of error, except for `not`.
func keyword(of jsonschema.ErrorKind) string {
	if _, ok := of.(*kind.Not); ok {
		return "not"
	}
	if path := of.KeywordPath(); len(path) > 0 {
		return path[0]
	}
	return ""
}

// The engine overwrites the place of a `propertyNames` while it continues.
func pointer(of *jsonschema.ValidationError) *string {
	if _, ok := of.ErrorKind.(*kind.PropertyNames); ok {
		return nil
	}
	var written strings.Builder
	for _, step := range of.InstanceLocation {
		written.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	pointer := written.String()
	return &pointer
}

func reply(asked question) answer {
	schema, err := compile(asked.Schema)
	if err != nil {
		return answer{Error: err.Error()}
	}
	results := make([]result, 0, len(asked.Instances))
	for _, instance := range asked.Instances {
		judged, err := judge(schema, instance)
		if err != nil {
			return answer{Error: err.Error()}
		}
		results = append(results, judged)
	}
	return answer{Results: results}
}

func version() string {
	build, _ := debug.ReadBuildInfo()
	for _, dependency := range build.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return "unknown"
}

func main() {
	output := json.NewEncoder(os.Stdout)
	output.Encode(map[string]string{"engine": "santhosh-tekuri/jsonschema", "version": version()})
	input := json.NewDecoder(os.Stdin)
	for {
		var asked question
		if err := input.Decode(&asked); err == io.EOF {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		output.Encode(reply(asked))
	}
}
