"""Stands in for orderflow's own payments of food delivery: takes what is asked from one topic, answers in another.
What was done is in the ledger, a file of JSON lines, and on disk before it is answered: nothing is charged or refunded twice, whoever
kills this when, and what was not answered then, the next start answers. Usage: payment_processor.py HOST:PORT LEDGER"""
import asyncio, datetime, json, os, sys
from fluvio import Fluvio, FluvioAdmin, FluvioConfig, Offset
REQUESTS, REPLIES = "food-delivery-payment-requests", "food-delivery-payment-replies"
APPROVED, DECLINED, VOIDED, REFUNDED, REFUSED = "PaymentApproved", "PaymentDeclined", "PaymentVoided", "PaymentRefunded", "RefundRefused"
DROPPED = "PaymentDropped"  # Approved, and then not wanted: a state and never an answer.

class Ledger:
    def __init__(self, path):
        self.attempts, self.next, self.file = {}, {}, open(path, "a+")
        self.file.seek(0)
        whole, newline, _ = self.file.read().rpartition("\n")
        self.file.truncate(len((whole + newline).encode()))  # A torn line was never answered.
        for line in map(json.loads, whole.splitlines()):  # The last of each partition is read again: perhaps it was not answered.
            self.attempts[line["attempt"]], self.next[line["partition"]] = line, line["offset"]
    def write(self, line):
        print(json.dumps(line), file=self.file, flush=True)
        os.fsync(self.file.fileno())
        self.attempts[line["attempt"]] = line

def decide(kind, asked, state):  # Returns the state of an attempt after a request, and the answer.
    if kind == "RefundRequested":  # Who does not vouch for it ("unverified") gets back only what nobody wanted.
        due = [DROPPED] if asked.get("unverified") else [APPROVED, DROPPED, REFUNDED]
        return (REFUNDED, REFUNDED) if state in due else (state, REFUSED)
    if kind == "PaymentVoidRequested":
        return {None: (VOIDED, VOIDED), APPROVED: (DROPPED, None)}.get(state, (state, None))
    if state is None:
        is_late = datetime.datetime.fromisoformat(asked["giveUpAt"]) <= datetime.datetime.now(datetime.timezone.utc)
        state = VOIDED if is_late else DECLINED if asked["customerId"].startswith("simulate-decline") else APPROVED
    return state, APPROVED if state == DROPPED else state

async def answer(ledger, producer, request, place):
    asked, key = request["data"], f'{request["data"]["correlationId"]}@{request["data"]["incarnation"]}'
    line = ledger.attempts.get(key, {"state": None})
    state, kind = decide(request["type"], asked, line["state"])
    if place.items() <= line.items():
        kind = line["answer"]  # It was done before a restart, and perhaps not answered.
    elif state != line["state"]:
        ledger.write({"attempt": key, "state": state, "answer": kind, "amount": asked.get("amount", line.get("amount")), **place})
    if kind:
        await producer.async_send(list(asked["orderId"].encode()), list(json.dumps({**asked, "type": kind}).encode()))
        await producer.async_flush()

async def serve(fluvio, ledger, partition):
    at, producer = ledger.next.get(partition, 0), fluvio.topic_producer(REPLIES)
    async for record in await fluvio.partition_consumer(REQUESTS, partition).async_stream(Offset.absolute(at)):
        assert record.offset() == at, "records were left out; a new start reads them"
        try:
            await answer(ledger, producer, json.loads(record.value_string()), {"partition": partition, "offset": at})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            print(f"{REQUESTS}/{partition}/{at} is no request: {error!r}", file=sys.stderr)
        at += 1

async def main(address, path):
    config, ledger = FluvioConfig.new(address), Ledger(path)
    fluvio, partitions = Fluvio.connect_with_config(config), FluvioAdmin.connect_with_config(config).list_partitions([REQUESTS])
    await asyncio.gather(*(serve(fluvio, ledger, partition) for partition in range(len(partitions))))
asyncio.run(main(*sys.argv[1:]))
