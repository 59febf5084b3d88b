// Reads mails with Go's standard library. Each line of input is a mail in base64; each line of output is its content as JSON.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"os"
	"strings"
)

type object = map[string]any

var words = mime.WordDecoder{}

func main() {
	lines := bufio.NewReader(os.Stdin)
	output := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return
		}
		raw := must(base64.StdEncoding.DecodeString(strings.TrimSpace(line)))
		message := must(mail.ReadMessage(bytes.NewReader(raw)))
		said := object{"subject": must(words.DecodeHeader(message.Header.Get("Subject")))}
		for key, field := range map[string]string{"from": "From", "to": "To", "cc": "Cc", "reply_to": "Reply-To"} {
			if message.Header.Get(field) != "" {
				said[key] = mailboxes(must(message.Header.AddressList(field)))
			}
		}
		header := textproto.MIMEHeader(message.Header)
		for key, field := range map[string]string{"list_unsubscribe": "List-Unsubscribe", "list_unsubscribe_post": "List-Unsubscribe-Post"} {
			if header.Get(field) != "" {
				said[key] = header.Get(field)
			}
		}
		files := []object{}
		said["structure"] = part(header, message.Body, said, &files)
		if len(files) > 0 {
			said["attachments"] = files
		}
		if err := output.Encode(said); err != nil {
			log.Fatal(err)
		}
	}
}

func mailboxes(addresses []*mail.Address) []object {
	found := []object{}
	for _, one := range addresses {
		box := object{"address": one.Address}
		if one.Name != "" {
			box["name"] = one.Name
		}
		found = append(found, box)
	}
	return found
}

func part(header textproto.MIMEHeader, body io.Reader, said object, files *[]object) any {
	kind, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		log.Fatal(err)
	}
	if strings.HasPrefix(kind, "multipart/") {
		children := []any{}
		reader := multipart.NewReader(body, parameters["boundary"])
		for {
			child, err := reader.NextRawPart()
			if err == io.EOF {
				return object{kind: children}
			}
			if err != nil {
				log.Fatal(err)
			}
			children = append(children, part(child.Header, child, said, files))
		}
	}
	switch header.Get("Content-Transfer-Encoding") {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	content := must(io.ReadAll(body))
	if header.Get("Content-Disposition") == "" {
		said[strings.Replace(strings.TrimPrefix(kind, "text/"), "plain", "text", 1)] = string(content)
		return kind
	}
	_, disposition, err := mime.ParseMediaType(header.Get("Content-Disposition"))
	if err != nil {
		log.Fatal(err)
	}
	sum := sha256.Sum256(content)
	file := object{"filename": disposition["filename"], "bytes": len(content), "sha256": hex.EncodeToString(sum[:])}
	if id := header.Get("Content-Id"); id != "" {
		file["content_id"] = strings.Trim(id, "<>")
	}
	*files = append(*files, file)
	return kind
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
