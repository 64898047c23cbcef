"""Reads all that a topic has now, once and for no group's account."""

from collections.abc import AsyncIterator

from serverless.bus.bus import Bus, Record


async def records_of(bus: Bus, topic: str, group: str) -> AsyncIterator[Record]:
    """Yield every record that a topic has when this begins, each partition in its order.

    Nothing is committed: a reader that asks again is given the same. Raises: BusTrouble, NoTopic.
    """
    reader = bus.reader(group)
    try:
        ends = {at: span.end for at, span in (await reader.spans(topic)).items()}
        begun = await reader.follow(topic, "earliest")
        missing = {at: end for at, end in ends.items() if begun[at] < end}
        while missing:
            found = await reader.read()
            for record in found:
                end = missing.get(record.place)
                if end is not None and record.offset < end:
                    yield record
                if end is not None and record.offset + 1 >= end:
                    del missing[record.place]
            if missing and not found:
                # What was there may have been removed meanwhile, as it was too old.
                spans = await reader.spans(topic)
                missing = {at: end for at, end in missing.items() if spans[at].first < end}
    finally:
        await reader.close()
