package main

// This file writes a mail as MIME and sends it to the mail server.

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"strings"
	"time"
)

const (
	smtpTimeout = time.Minute
	wordBytes   = 42 // an encoded word has at most 75 characters, and base64 makes 4 bytes of 3
)

// send sends one mail; a *Refusal is a permanent refusal, every other error may be tried again.
func send(mail *Mail) error {
	connection, err := net.DialTimeout("tcp", net.JoinHostPort(os.Getenv("SMTP_HOST"), os.Getenv("SMTP_PORT")), smtpTimeout)
	if err != nil {
		return err
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(smtpTimeout))
	if err := handOver(connection, mail); err != nil {
		var reply *textproto.Error
		if errors.As(err, &reply) && reply.Code >= 500 {
			return &Refusal{Code: "smtp_permanent"}
		}
		return err
	}
	return nil
}

func handOver(connection net.Conn, mail *Mail) error {
	client, err := smtp.NewClient(connection, os.Getenv("SMTP_HOST"))
	if err != nil {
		return err
	}
	if err := client.Mail(os.Getenv("MAIL_FROM")); err != nil {
		return err
	}
	if err := client.Rcpt(mail.To); err != nil {
		return err
	}
	data, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write(mime(mail)); err != nil {
		return err
	}
	if err := data.Close(); err != nil { // the answer to the final dot
		return err
	}
	_ = client.Quit() // the server has accepted the mail, so an error here does not matter
	return nil
}

// mime writes a mail; the text is encoded in base64, so that it arrives unchanged.
func mime(mail *Mail) []byte {
	from := os.Getenv("MAIL_FROM")
	_, domain, _ := strings.Cut(from, "@")
	subject := mail.Subject
	if !isPlain(subject) {
		subject = encoded(subject)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "From: %s\r\nTo: %s\r\nSubject: %s\r\n", from, mail.To, subject)
	fmt.Fprintf(&text, "Date: %s\r\nMessage-ID: <%s@%s>\r\n", time.Now().Format(time.RFC1123Z), rand.Text(), domain)
	text.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	body := base64.StdEncoding.EncodeToString([]byte(mail.Text))
	for len(body) > 76 {
		text.WriteString(body[:76] + "\r\n")
		body = body[76:]
	}
	text.WriteString(body + "\r\n")
	return []byte(text.String())
}

func isPlain(text string) bool {
	for _, character := range text {
		if character < ' ' || character > '~' {
			return false
		}
	}
	return len(text) < 60 && !strings.Contains(text, "=?")
}

// encoded writes a header's text as encoded words that never split a character (RFC 2047).
func encoded(text string) string {
	words, word := []string{}, ""
	for _, character := range text {
		if len(word)+len(string(character)) > wordBytes {
			words, word = append(words, word), ""
		}
		word += string(character)
	}
	words = append(words, word)
	for at, each := range words {
		words[at] = "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(each)) + "?="
	}
	return strings.Join(words, "\r\n ")
}
