#!/bin/sh
# Sends events with curl: TOKEN=… URL=http://127.0.0.1:5000/bridge ./send.sh
set -eu

post() { # PATH [ARGUMENT…]
    path=$1
    shift
    curl --silent --show-error --fail-with-body "$URL$path" -H "Authorization: Bearer $TOKEN" "$@"
    echo
}

echo "an event"
post /events/word.said -H 'Content-Type: application/json' -d '{"word": "hello"}'

echo "the same request twice is one event"
for _ in 1 2; do
    post /events/word.said -H 'Content-Type: application/json' -H 'Idempotency-Key: word-1' -d '{"word": "once"}'
done

echo "a batch of CloudEvents"
post /events -H 'Content-Type: application/cloudevents-batch+json' -d '[
    {"specversion": "1.0", "id": "1", "source": "/kitchen", "type": "word.said", "data": {"word": "salt"}},
    {"specversion": "1.0", "id": "2", "source": "/garden", "type": "word.said", "data": {"word": "rain"}}
]'

echo "a call, whose answer is waited for"
post /events/word.reversed -H 'Content-Type: application/json' -H 'Prefer: wait=20' -d '{"word": "hello"}'
