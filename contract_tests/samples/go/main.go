// A consumer of email/1 in Go: `go build`, then run it. Meant to be copied.
//
// The settings are environment variables: AMQP_URL, AMQP_QUEUE, AMQP_DEAD_EXCHANGE, SMTP_HOST, SMTP_PORT, MAIL_FROM, and
// CONTRACT_DIR, the folder of the published contracts. The ids of mailed messages are kept in memory only, so a message may be
// mailed twice after a crash. A database table of message ids, with a row written before the ack, makes such duplicates rare.
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

// Consumer keeps the ids of mailed messages when its connection is replaced.
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

// serve consumes on one connection until the connection breaks, which is an error, or until the program must stop.
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
			cancel() // messages that wait for their next try return to the queue
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

// handle mails a message and acknowledges it, publishes it as a dead letter, or tries again later.
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
	_ = delivery.Ack(false) // if this fails, the connection is broken and the message is delivered again
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

// bury publishes a dead letter with the message's properties and headers, and waits for the confirm.
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
