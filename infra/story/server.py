"""Runs ministack 1.5.33, mended in one place: streamed answers that are not text.

It takes every answer of a `provided` runtime for JSON or UTF-8, so a gzip behind a streaming Function
URL kills the request. Here such bytes travel as text of one character a byte, under a mark, and become
bytes again where the Function URL answers.
"""

from ministack.app import main
from ministack.core import lambda_runtime
from ministack.services import lambda_svc

MARK = "\ue000bytes\ue000"


class Bytes(bytes):
    """Bytes that decode to marked text where they are not UTF-8."""

    def decode(self, *_args, **_kwargs):
        try:
            return bytes(self).decode("utf-8")
        except UnicodeDecodeError:
            return MARK + bytes(self).decode("latin-1")


def reading_bytes(build_handler_class):
    def build(*args, **kwargs):
        handler = build_handler_class(*args, **kwargs)
        read = handler._read_body
        handler._read_body = lambda self: Bytes(read(self))
        return handler

    return build


def answering_bytes(shape):
    def answer(result, cors_headers):
        body = result.get("body")
        if isinstance(body, str) and body.startswith(MARK):
            result = {**result, "body": body[len(MARK) :].encode("latin-1")}
        return shape(result, cors_headers)

    return answer


(worker,) = [kind for kind in vars(lambda_runtime).values() if "_build_handler_class" in getattr(kind, "__dict__", ())]
worker._build_handler_class = reading_bytes(worker._build_handler_class)
lambda_svc._function_url_stream_response = answering_bytes(lambda_svc._function_url_stream_response)

main()
