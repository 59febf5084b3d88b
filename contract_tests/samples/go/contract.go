package main

// A message of email/1: strict JSON, the published schema, and the subject rule. This file does not use AMQP or SMTP.
// contracts/email/1/README.md has the rules and their order.

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Refusal says why a message is not mailed; its fields become the headers of the dead letter.
type Refusal struct{ Code, Pointer, Keyword string }

func (r *Refusal) Error() string { return "refused: " + r.Code }

// Mail is the mail to send.
type Mail struct{ To, Subject, Text string }

// Contract holds the published files of email/1, read once.
type Contract struct {
	schema  *jsonschema.Schema
	binding struct {
		Type    string
		Readers struct {
			ContentTypes     []string `json:"content_types"`
			ContentEncodings []string `json:"content_encodings"`
		}
		Limits struct {
			MaxBodyBytes int `json:"max_body_bytes"`
			MaxDepth     int `json:"max_depth"`
		}
	}
}

// ReadContract reads binding and schema below the folder of the published contracts.
func ReadContract(folder string) (*Contract, error) {
	folder = filepath.Join(folder, "email", "1")
	var contract Contract
	text, err := os.ReadFile(filepath.Join(folder, "binding.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &contract.binding); err != nil {
		return nil, err
	}
	contract.schema, err = jsonschema.NewCompiler().Compile(filepath.Join(folder, "schema.json"))
	return &contract, err
}

// Read returns the mail that a message asks for, or a *Refusal.
func (c *Contract) Read(body []byte, messageType, contentType, contentEncoding string) (*Mail, error) {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.Trim(mediaType, " \t"))
	switch {
	case messageType != "" && messageType != c.binding.Type:
		return nil, &Refusal{Code: "unsupported_version"}
	case contentType != "" && !slices.Contains(c.binding.Readers.ContentTypes, mediaType):
		return nil, &Refusal{Code: "unsupported_content_type"}
	case contentEncoding != "" && !slices.Contains(c.binding.Readers.ContentEncodings, strings.ToLower(contentEncoding)):
		return nil, &Refusal{Code: "unsupported_content_encoding"}
	case len(body) > c.binding.Limits.MaxBodyBytes:
		return nil, &Refusal{Code: "too_large"}
	case depth(body) > c.binding.Limits.MaxDepth:
		return nil, &Refusal{Code: "too_deep"}
	}
	if code := fault(body); code != "" {
		return nil, &Refusal{Code: code}
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return nil, &Refusal{Code: "invalid_json"}
	}
	var refused *jsonschema.ValidationError
	if errors.As(c.schema.Validate(value), &refused) {
		return nil, refusalOf(refused)
	}
	members := value.(map[string]any)
	message := members["message"].(string)
	return &Mail{To: members["email"].(string), Subject: subject(message), Text: message}, nil
}

var aString = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"?`)

// depth returns how deep objects and arrays nest; brackets in strings do not count.
func depth(body []byte) (deepest int) {
	now := 0
	for _, each := range aString.ReplaceAll(body, nil) {
		switch each {
		case '[', '{':
			now++
			deepest = max(deepest, now)
		case ']', '}':
			now = max(0, now-1)
		}
	}
	return deepest
}

var stringOrName = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?Infinity|NaN`)

// fault returns the first rule of JSON that a body breaks, or "".
func fault(body []byte) string {
	if !utf8.Valid(body) {
		return "invalid_encoding"
	}
	if bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) {
		return "byte_order_mark"
	}
	isNumberWrong, isHalf := false, false
	plain := stringOrName.ReplaceAllFunc(body, func(token []byte) []byte {
		if token[0] == '"' {
			isHalf = isHalf || hasLoneSurrogate(token)
			return token
		}
		isNumberWrong = true
		return []byte(" 0 ")
	})
	if !json.Valid(plain) {
		return "invalid_json"
	}
	isTwice, isTooBig := walk(plain)
	switch {
	case isNumberWrong || isTooBig:
		return "invalid_number"
	case isHalf:
		return "lone_surrogate"
	case isTwice:
		return "duplicate_key"
	}
	return ""
}

// hasLoneSurrogate returns whether the escapes of a JSON string contain half of a surrogate pair.
func hasLoneSurrogate(text []byte) bool {
	isAfterHigh := false
	for at := 0; at < len(text); at++ {
		isLow := false
		isHigh := false
		if text[at] == '\\' {
			at++
			if text[at] == 'u' && at+5 <= len(text) {
				code, _ := strconv.ParseUint(string(text[at+1:at+5]), 16, 32)
				isHigh, isLow = code >= 0xD800 && code < 0xDC00, code >= 0xDC00 && code < 0xE000
				at += 4
			}
		}
		if isAfterHigh != isLow {
			return true
		}
		isAfterHigh = isHigh
	}
	return isAfterHigh
}

// walk searches valid JSON for a name that occurs twice in an object, and for a number that is too large for a double.
func walk(body []byte) (isTwice, isTooBig bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	type level struct {
		names  map[string]bool // nil for an array
		isName bool
	}
	levels := []level{{}}
	for {
		token, err := decoder.Token()
		if err != nil {
			return isTwice, isTooBig
		}
		top := &levels[len(levels)-1]
		if name, ok := token.(string); ok && top.isName {
			isTwice = isTwice || top.names[name]
			top.names[name], top.isName = true, false
			continue
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}, isName: true})
			continue
		case json.Delim('['):
			levels = append(levels, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
		if number, ok := token.(json.Number); ok {
			_, err := strconv.ParseFloat(number.String(), 64)
			isTooBig = isTooBig || err != nil
		}
		top = &levels[len(levels)-1]
		top.isName = top.names != nil
	}
}

// refusalOf returns the first fault in the tree of errors that has a keyword of its own.
func refusalOf(refused *jsonschema.ValidationError) *Refusal {
	for _, cause := range refused.Causes {
		if found := refusalOf(cause); found != nil {
			return found
		}
	}
	keyword := ""
	if _, isNot := refused.ErrorKind.(*kind.Not); isNot {
		keyword = "not"
	} else if path := refused.ErrorKind.KeywordPath(); len(path) > 0 {
		keyword = path[0]
	} else if len(refused.Causes) == 0 {
		return nil
	}
	pointer := ""
	for _, step := range refused.InstanceLocation {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step)
	}
	return &Refusal{Code: "schema", Pointer: pointer, Keyword: keyword}
}

var (
	lineEnd = regexp.MustCompile(`\r\n|\r|\n`)
	control = regexp.MustCompile(`[\x00-\x1f\x7f-\x{9f}]`)
)

// subject returns the first line of a message that is not blank.
func subject(message string) string {
	for _, line := range lineEnd.Split(message, -1) {
		line = strings.Trim(control.ReplaceAllString(line, " "), " ")
		if line != "" {
			runes := []rune(line)
			return strings.TrimRight(string(runes[:min(len(runes), 200)]), " ")
		}
	}
	return "(no subject)"
}
