"""Completes, chats and streams with the official OpenAI client, and prints what it got as JSON.

    openai_client.py BASE_URL MODEL MESSAGE
"""

import json
import sys

import openai


def main(base_url, model, message):
    client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0)
    messages = [{"role": "user", "content": message}]
    greedy = dict(model=model, temperature=0, max_tokens=24)
    chat = client.chat.completions.create(messages=messages, **greedy)
    pieces, usage = [], None
    for chunk in client.chat.completions.create(
        messages=messages, stream=True, stream_options={"include_usage": True}, **greedy
    ):
        usage = chunk.usage or usage
        pieces += [choice.delta.content or "" for choice in chunk.choices]
    completion = client.completions.create(prompt="Once upon a time", **greedy)
    try:
        client.chat.completions.create(messages=messages, model="no-such-model")
        error = None
    except openai.NotFoundError as caught:
        error = caught.code
    print(json.dumps({
        "models": [entry.id for entry in client.models.list()],
        "chat": chat.choices[0].message.content,
        "finish": chat.choices[0].finish_reason,
        "streamed": "".join(pieces),
        "usage": [chat.usage.completion_tokens, usage.completion_tokens],
        "completion": completion.choices[0].text,
        "error": error,
    }))


if __name__ == "__main__":
    main(*sys.argv[1:])
