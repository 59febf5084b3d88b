// A consumer of email/1 in Go: `go build`, then run it. Meant to be copied.
//
// The settings are environment variables: AMQP_URL, AMQP_QUEUE, AMQP_DEAD_EXCHANGE, SMTP_HOST, SMTP_PORT, MAIL_FROM, and
// CONTRACT_DIR, the folder of the published contracts. What was mailed is remembered in memory only: after a crash a message
// may be mailed twice. A database table of message ids, with a row written before the ack, makes that rare.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	prefetch      = 10
	remembered    = 100_000
	firstDelay    = time.Second
	longestDelay  = 5 * time.Minute
	goodbyePeriod = 15 * time.Second
)

// Consumer outlives its connections: it knows what was mailed.
type Consumer struct {
	contract *Contract
	lock     sync.Mutex
	mailed   map[string]bool
	order    []string
}

func main() {
	contract, err := ReadContract(os.Getenv("CONTRACT_DIR"))
	if err != nil {
		log.Fatal(err)
	}
	consumer := &Consumer{contract: contract, mailed: map[string]bool{}}
	stopped, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	for stopped.Err() == nil {
		if err := consumer.serve(stopped); err != nil {
			log.Printf("no connection to the broker; next try in 1 s: %v", err)
			time.Sleep(time.Second)
		}
	}
}

// serve consumes over one connection until it breaks, which is an error, or until the program is to stop.
func (c *Consumer) serve(stopped context.Context) error {
	connection, err := amqp.Dial(os.Getenv("AMQP_URL"))
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := errors.Join(channel.Confirm(false), channel.Qos(prefetch, 0, false)); err != nil {
		return err
	}
	deliveries, err := channel.Consume(os.Getenv("AMQP_QUEUE"), "consumer", false, false, false, false, nil)
	if err != nil {
		return err
	}
	lost, cancel := context.WithCancel(context.Background())
	defer cancel()
	var under sync.WaitGroup
	for {
		select {
		case <-stopped.Done():
			_ = channel.Cancel("consumer", false)
			cancel() // what waits for its next try goes back to the queue
			return waitFor(&under)
		case delivery, isOpen := <-deliveries:
			if !isOpen {
				return errors.New("the connection broke")
			}
			under.Add(1)
			go func() {
				defer under.Done()
				c.handle(lost, channel, delivery)
			}()
		}
	}
}

func waitFor(under *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { under.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(goodbyePeriod):
	}
	return nil
}

// handle mails a message and acknowledges it; it makes a dead letter of it, or tries again later.
func (c *Consumer) handle(lost context.Context, channel *amqp.Channel, delivery amqp.Delivery) {
	for delay := firstDelay; !c.knows(delivery.MessageId); delay = min(2*delay, longestDelay) {
		err := c.mail(delivery)
		var refused *Refusal
		if errors.As(err, &refused) {
			if err := bury(channel, delivery, refused); err != nil {
				log.Printf("the dead letter is not confirmed, and the message goes back: %v", err)
				_ = delivery.Nack(false, true)
				return
			}
			break
		}
		if err == nil {
			c.remember(delivery.MessageId)
			break
		}
		log.Printf("the mail server does not take a mail; next try in %s", delay)
		select {
		case <-lost.Done():
			return
		case <-time.After(delay):
		}
	}
	_ = delivery.Ack(false) // where this fails the connection broke, and the message comes again
}

func (c *Consumer) mail(delivery amqp.Delivery) error {
	mail, err := c.contract.Read(delivery.Body, delivery.Type, delivery.ContentType, delivery.ContentEncoding)
	if err != nil {
		return err
	}
	return send(mail)
}

func (c *Consumer) knows(id string) bool {
	c.lock.Lock()
	defer c.lock.Unlock()
	return id != "" && c.mailed[id]
}

func (c *Consumer) remember(id string) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.mailed[id], c.order = true, append(c.order, id)
	if len(c.order) > remembered {
		delete(c.mailed, c.order[0])
		c.order = c.order[1:]
	}
}

// bury publishes a dead letter with everything that the message came with, and waits for its confirm.
func bury(channel *amqp.Channel, delivery amqp.Delivery, refused *Refusal) error {
	headers := amqp.Table{}
	for name, value := range delivery.Headers {
		headers[name] = value
	}
	headers["x-error-code"] = refused.Code
	if refused.Keyword != "" {
		headers["x-error-pointer"], headers["x-error-keyword"] = refused.Pointer, refused.Keyword
	}
	confirm, err := channel.PublishWithDeferredConfirm(os.Getenv("AMQP_DEAD_EXCHANGE"), "", true, false, amqp.Publishing{
		Headers: headers, Body: delivery.Body, MessageId: delivery.MessageId, Type: delivery.Type, AppId: delivery.AppId,
		ContentType: delivery.ContentType, ContentEncoding: delivery.ContentEncoding, DeliveryMode: amqp.Persistent,
		Timestamp: delivery.Timestamp, CorrelationId: delivery.CorrelationId, ReplyTo: delivery.ReplyTo,
	})
	if err != nil {
		return err
	}
	if !confirm.Wait() {
		return errors.New("the broker refused the dead letter")
	}
	return nil
}
