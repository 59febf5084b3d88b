import asyncio

import pika


def converse(url: str) -> list[tuple[bytes, bool, int]]:
    """Publish with confirms, consume with acks and one nack; returns body, redelivered and count of each."""
    heard = []
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
        for body in (b"1", b"2"):
            channel.basic_publish("", "q", body, pika.BasicProperties(delivery_mode=2), mandatory=True)
        channel.basic_qos(prefetch_count=1)
        for method, properties, body in channel.consume("q", inactivity_timeout=5):
            heard.append((body, method.redelivered, (properties.headers or {}).get("x-delivery-count", 0)))
            if len(heard) == 1:
                channel.basic_nack(method.delivery_tag, requeue=True)
            else:
                channel.basic_ack(method.delivery_tag)
            if len(heard) == 3:
                break
        channel.cancel()
    return heard


async def test_a_synchronous_client_gets_along(devbroker):
    heard = await asyncio.wait_for(asyncio.to_thread(converse, devbroker.url), 20)

    assert heard == [(b"1", False, 0), (b"1", True, 1), (b"2", False, 0)]
