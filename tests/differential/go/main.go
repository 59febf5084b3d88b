// Runs the core behaviours with amqp091-go and prints one JSON object: the observation of each, by name.
//
// The names are those of the list in ../behaviours. Usage: differential URL, the URL being that of an empty vhost.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	limit       = 10 * time.Second
	quietRounds = 40 // a queue that is empty so many times stays empty
	round       = 5 * time.Millisecond
)

// A probe is one behaviour's access to the broker: an address, and a queue name that no other behaviour uses.
type probe struct {
	url, vhost, queue string
	opened            []*amqp.Connection
}

type observation = any

var behaviours = []struct {
	name    string
	observe func(*probe) observation
}{
	{"a_missing_queue_is_not_found", missingQueue},
	{"a_wrong_password_is_refused_and_the_client_is_told", wrongPassword},
	{"a_queue_is_not_made_transient_by_declaring_it_again", redeclaredTransient},
	{"a_delivery_limit_is_not_changed_by_declaring_again", redeclaredLimit},
	{"another_connection_cannot_use_an_exclusive_queue", exclusive},
	{"a_publish_is_confirmed", confirmed},
	{"an_unroutable_message_comes_back_if_it_is_mandatory", mandatory},
	{"publishing_to_a_missing_exchange_closes_the_channel", missingExchange},
	{"a_topic_exchange_knows_one_word_and_any_number", topic},
	{"a_full_queue_that_rejects_publishes_says_so", full},
	{"messages_come_in_the_order_of_publishing", order},
	{"get_says_how_many_are_left", get},
	{"a_consumer_of_a_quorum_queue_holds_no_more_than_its_prefetch", prefetch},
	{"two_consumers_of_a_quorum_queue_take_turns", turns},
	{"a_consumer_is_told_when_its_queue_is_deleted", cancelled},
	{"an_unknown_delivery_tag_is_a_precondition_failed", unknownTag},
	{"a_message_returned_to_a_limited_queue_is_next_and_counted", returned},
	{"a_lost_connection_gives_back_in_order", lost},
	{"a_message_expires_after_its_own_time", expired},
	{"a_rejected_message_is_a_letter_that_does_not_expire", letter},
}

func main() {
	server, err := url.Parse(os.Args[1])
	check(err)
	vhost := strings.TrimPrefix(server.Path, "/")
	if vhost == "" {
		vhost = "/"
	}
	found := map[string]observation{}
	for number, each := range behaviours {
		p := &probe{url: os.Args[1], vhost: vhost, queue: fmt.Sprintf("q%d", number)}
		found[each.name] = each.observe(p)
		p.close()
	}
	check(json.NewEncoder(os.Stdout).Encode(found))
}

func missingQueue(p *probe) observation {
	_, err := p.channel().QueueDeclarePassive("missing", true, false, false, false, nil)
	return p.refusal(err)
}

func wrongPassword(p *probe) observation {
	server, err := url.Parse(p.url)
	check(err)
	server.User = url.UserPassword(server.User.Username(), "wrong")
	_, err = amqp.Dial(server.String())
	return p.refusal(err)
}

func redeclaredTransient(p *probe) observation {
	channel := p.channel()
	p.declare(channel, nil)
	_, err := channel.QueueDeclare(p.queue, false, false, false, false, nil)
	return p.refusal(err)
}

func redeclaredLimit(p *probe) observation {
	channel := p.channel()
	p.declare(channel, quorum("x-delivery-limit", 20))
	_, err := channel.QueueDeclare(p.queue, true, false, false, false, quorum("x-delivery-limit", 21))
	return p.refusal(err)
}

func exclusive(p *probe) observation {
	_, err := p.channel().QueueDeclare(p.queue, false, false, true, false, nil)
	check(err)
	_, err = p.channel().QueueDeclarePassive(p.queue, false, false, false, false, nil)
	return p.refusal(err)
}

func confirmed(p *probe) observation {
	channel := p.channel()
	p.declare(channel, nil)
	return []observation{p.put(channel, "one"), p.drain(channel, p.queue)}
}

func mandatory(p *probe) observation {
	channel := p.channel()
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	acked := publish(channel, "amq.direct", "nowhere", amqp.Publishing{Body: []byte("one")}, true)
	back := <-returns
	return []observation{acked, back.ReplyCode, back.ReplyText, back.Exchange, back.RoutingKey, string(back.Body)}
}

func missingExchange(p *probe) observation {
	channel := p.channel()
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	check(channel.PublishWithContext(context.Background(), "missing", "key", false, false, amqp.Publishing{}))
	return p.refusal(<-closed)
}

func topic(p *probe) observation {
	channel := p.channel()
	found := map[string]observation{}
	patterns := []string{"#", "*", "a.*", "a.#", "#.a", "*.b.#", "a.#.b", "", "a..b"}
	for number, pattern := range patterns {
		name := fmt.Sprintf("%s.%d", p.queue, number)
		_, err := channel.QueueDeclare(name, true, false, false, false, nil)
		check(err)
		check(channel.QueueBind(name, pattern, "amq.topic", false, nil))
	}
	for _, key := range []string{"", "a", "a.b", "a.b.c", "a..b", "b.a", "a.x.y.b", "."} {
		publish(channel, "amq.topic", key, amqp.Publishing{Body: []byte(key)}, false)
	}
	for number, pattern := range patterns {
		found[pattern] = p.drain(channel, fmt.Sprintf("%s.%d", p.queue, number))
	}
	return found
}

func full(p *probe) observation {
	channel := p.channel()
	p.declare(channel, amqp.Table{"x-max-length": 1, "x-overflow": "reject-publish"})
	first, second := p.put(channel, "one"), p.put(channel, "two")
	taken := p.take(channel, p.queue, true)
	return []observation{first, second, string(taken.Body), p.put(channel, "three")}
}

func order(p *probe) observation {
	channel := p.channel()
	p.declare(channel, quorum())
	for _, body := range strings.Split("abcdefghij", "") {
		p.put(channel, body)
	}
	return bodies(p.consume(channel), 10)
}

func get(p *probe) observation {
	channel := p.channel()
	p.declare(channel, nil)
	for _, body := range []string{"one", "two", "three"} {
		p.put(channel, body)
	}
	left := []observation{}
	for range 3 {
		left = append(left, p.take(channel, p.queue, true).MessageCount)
	}
	_, found, err := channel.Get(p.queue, true)
	check(err)
	return append(left, found)
}

func prefetch(p *probe) observation {
	channel := p.channel()
	p.declare(channel, quorum())
	check(channel.Qos(2, 0, false))
	deliveries := p.consume(channel)
	for _, body := range strings.Split("abcde", "") {
		p.put(channel, body)
	}
	first, second := <-deliveries, <-deliveries
	held := p.rest(channel, deliveries)
	check(first.Ack(false))
	return []observation{string(first.Body), string(second.Body), held, p.rest(channel, deliveries)}
}

func turns(p *probe) observation {
	channel := p.channel()
	p.declare(channel, quorum())
	consumers := []<-chan amqp.Delivery{}
	for range 2 {
		other := p.channel()
		check(other.Qos(2, 0, false))
		consumers = append(consumers, p.consume(other))
	}
	for _, body := range strings.Split("abcdef", "") {
		p.put(channel, body)
	}
	return []observation{p.rest(channel, consumers[0]), p.rest(channel, consumers[1])}
}

func cancelled(p *probe) observation {
	channel := p.channel()
	p.declare(channel, nil)
	told := channel.NotifyCancel(make(chan string, 1))
	_, err := channel.Consume(p.queue, "tag", false, false, false, false, nil)
	check(err)
	_, err = p.channel().QueueDelete(p.queue, false, false, false)
	check(err)
	select {
	case tag := <-told:
		return tag
	case <-time.After(limit):
		return "not told"
	}
}

func unknownTag(p *probe) observation {
	channel := p.channel()
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	check(channel.Ack(77, false))
	return p.refusal(<-closed)
}

func returned(p *probe) observation {
	channel := p.channel()
	p.declare(channel, quorum("x-delivery-limit", 20))
	p.put(channel, "a")
	p.put(channel, "b")
	told := []observation{}
	for range 3 {
		message := p.take(channel, p.queue, false)
		told = append(told, seen(message))
		check(message.Nack(false, true))
	}
	return append(told, p.drain(channel, p.queue))
}

func lost(p *probe) observation {
	channel, other := p.channel(), p.channel()
	p.declare(channel, quorum("x-delivery-limit", 20))
	for _, body := range []string{"a", "b", "c"} {
		p.put(channel, body)
	}
	p.take(other, p.queue, false)
	p.take(other, p.queue, false)
	check(p.opened[1].Close())
	return []observation{seen(p.take(channel, p.queue, true)), p.drain(channel, p.queue)}
}

func expired(p *probe) observation {
	channel := p.withLetters()
	publish(channel, "", p.queue, amqp.Publishing{Body: []byte("a"), Expiration: "50"}, false)
	return []observation{seen(p.take(channel, p.queue+".dead", true)), p.drain(channel, p.queue)}
}

func letter(p *probe) observation {
	channel := p.withLetters()
	sent := amqp.Publishing{Body: []byte("a"), Expiration: "60000", Headers: amqp.Table{"own": int32(1)}}
	publish(channel, "", p.queue, sent, false)
	message := p.take(channel, p.queue, false)
	check(message.Reject(false))
	return seen(p.take(channel, p.queue+".dead", true))
}

// channel opens a channel with confirms on a new connection.
func (p *probe) channel() *amqp.Channel {
	connection, err := amqp.Dial(p.url)
	check(err)
	p.opened = append(p.opened, connection)
	channel, err := connection.Channel()
	check(err)
	check(channel.Confirm(false))
	return channel
}

func (p *probe) close() {
	for _, connection := range p.opened {
		if err := connection.Close(); err != nil && !errors.Is(err, amqp.ErrClosed) {
			check(err)
		}
	}
}

func (p *probe) declare(channel *amqp.Channel, arguments amqp.Table) {
	_, err := channel.QueueDeclare(p.queue, true, false, false, false, arguments)
	check(err)
}

func (p *probe) withLetters() *amqp.Channel {
	channel := p.channel()
	_, err := channel.QueueDeclare(p.queue+".dead", true, false, false, false, nil)
	check(err)
	p.declare(channel, amqp.Table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": p.queue + ".dead"})
	return channel
}

// put publishes a body to the queue and returns whether it was acknowledged.
func (p *probe) put(channel *amqp.Channel, body string) bool {
	return publish(channel, "", p.queue, amqp.Publishing{Body: []byte(body), DeliveryMode: amqp.Persistent}, false)
}

func (p *probe) consume(channel *amqp.Channel) <-chan amqp.Delivery {
	deliveries, err := channel.Consume(p.queue, "", false, false, false, false, nil)
	check(err)
	return deliveries
}

func (p *probe) take(channel *amqp.Channel, queue string, noAck bool) amqp.Delivery {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(round) {
		message, found, err := channel.Get(queue, noAck)
		check(err)
		if found {
			return message
		}
	}
	check(fmt.Errorf("nothing comes to queue %s", queue))
	return amqp.Delivery{}
}

func (p *probe) drain(channel *amqp.Channel, queue string) []string {
	found := []string{}
	for vain := 0; vain < quietRounds; vain++ {
		message, more, err := channel.Get(queue, true)
		check(err)
		if more {
			found = append(found, string(message.Body))
			vain = -1
			continue
		}
		time.Sleep(round)
	}
	return found
}

// refusal returns an error of the broker without the vhost's name.
func (p *probe) refusal(err error) observation {
	var refused *amqp.Error
	if !errors.As(err, &refused) || refused == nil {
		return fmt.Sprint(err)
	}
	reason := strings.ReplaceAll(refused.Reason, "vhost '"+p.vhost+"'", "vhost '/'")
	return fmt.Sprintf("%d %s", refused.Code, strings.ReplaceAll(reason, p.queue, "q"))
}

func publish(channel *amqp.Channel, exchange, key string, message amqp.Publishing, mandatory bool) bool {
	within, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	confirm, err := channel.PublishWithDeferredConfirmWithContext(within, exchange, key, mandatory, false, message)
	check(err)
	acked, err := confirm.WaitContext(within)
	check(err)
	return acked
}

func quorum(pairs ...any) amqp.Table {
	table := amqp.Table{"x-queue-type": "quorum"}
	for at := 0; at < len(pairs); at += 2 {
		table[pairs[at].(string)] = pairs[at+1]
	}
	return table
}

func bodies(deliveries <-chan amqp.Delivery, count int) []string {
	found := []string{}
	for range count {
		select {
		case message := <-deliveries:
			found = append(found, string(message.Body))
		case <-time.After(limit):
			return found
		}
	}
	return found
}

// rest returns all deliveries until no more come.
func (p *probe) rest(channel *amqp.Channel, deliveries <-chan amqp.Delivery) []string {
	found := []string{}
	for vain := 0; vain < quietRounds; vain++ {
		_, err := channel.QueueDeclarePassive(p.queue, true, false, false, false, nil)
		check(err)
		select {
		case message := <-deliveries:
			found = append(found, string(message.Body))
			vain = -1
		case <-time.After(round):
		}
	}
	return found
}

func seen(message amqp.Delivery) observation {
	return map[string]observation{
		"body": string(message.Body), "exchange": message.Exchange, "routing_key": message.RoutingKey,
		"redelivered": message.Redelivered, "expiration": message.Expiration, "headers": timeless(message.Headers),
	}
}

// timeless replaces each time, which differs between two runs, by a fixed text.
func timeless(value any) observation {
	switch value := value.(type) {
	case amqp.Table:
		found := map[string]observation{}
		for name, each := range value {
			found[name] = timeless(each)
		}
		return found
	case []any:
		found := []observation{}
		for _, each := range value {
			found = append(found, timeless(each))
		}
		return found
	case time.Time:
		return "a time"
	}
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
