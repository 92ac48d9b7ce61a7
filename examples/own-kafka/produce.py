"""Sends a dozen reviews in the shop's own JSON: `python produce.py`.

The last one lacks its time, which undertone needs: it goes to the dead letters.
"""

import json
import time
from typing import Any

from kafka import KafkaProducer

BROKERS = "127.0.0.1:9092"
TOPIC = "shop.reviews"

# headline, text, nick of the customer, followers, products
REVIEWS = [
    ("Lovely", "The Kettle One is great, I love it.", "ada", 12, []),
    ("Too loud", "It is broken after a week. A refund, please!", "ben", 3, ["Kettle One"]),
    ("As described", "My KettleOne holds a litre and a half.", "cyd", 8, ["Kettle One"]),
    ("Awful", "Bought a Kettle One, terrible: worst tea of my life.", "dan", 640, []),
    ("Bright", "A wonderful lamp. Lampora, you are excellent.", "eve", 25, ["Lampora"]),
    ("Flickers", "The Lampora lamp failed on its first evening.", "fay", 2, ["Lampora"]),
    ("Nice shop", "Friendly people, fair prices.", "gus", 1, []),
    ("Late", "Delivery was awful, the parcel came a week late.", "hal", 77, []),
    ("Quick", "Delivered within a day. Thank you!", "ivy", 5, []),
    ("Both", "Kettle One and Lampora were sold out, no more.", "jon", 9, []),
    ("Ein Lob", "Der Wasserkocher ist gut.", "kim", 4, ["Kettle One"]),
    ("No time", "My Kettle One has no time for this.", "lea", 6, []),
]


def reviews(now_ms: int) -> list[dict[str, Any]]:
    """The reviews, one a second up to now, as the shop writes them."""
    made: list[dict[str, Any]] = [
        {
            "review_id": f"r{number}",
            "posted_ms": now_ms - 1000 * (len(REVIEWS) - number),
            "headline": headline,
            "text": text,
            "customer": {"nick": nick, "followers": followers},
            "products": [{"name": name, "shelf": "home"} for name in products],
            "stars": None,  # what undertone has no field for is dropped
        }
        for number, (headline, text, nick, followers, products) in enumerate(REVIEWS, 1)
    ]
    del made[-1]["posted_ms"]
    return made


def main() -> None:
    """Send them all, and wait until Kafka has them."""
    producer = KafkaProducer(bootstrap_servers=BROKERS, acks="all")
    made = reviews(time.time_ns() // 1_000_000)
    for review in made:
        producer.send(TOPIC, json.dumps(review).encode())
    producer.flush()
    producer.close()
    print(f"{len(made)} reviews sent to {TOPIC}")


if __name__ == "__main__":
    main()
