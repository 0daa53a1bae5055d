# SPDX-License-Identifier: MIT
"""A shop whose traces tell where the time of a request goes, on the loop and on threads."""

import asyncio
import time

import flask
from opentelemetry import trace

tracer = trace.get_tracer("shop")
app = flask.Flask(__name__)


@app.get("/orders/<int:number>")
async def order(number):
    # The spans of tasks that run at once are below the one of their request, and of no other.
    lines, customer = await asyncio.gather(find("lines", number), find("customer", number))
    return {"lines": lines, "customer": customer}


@app.get("/invoices/<int:number>")
def invoice(number):
    with tracer.start_as_current_span("draw", attributes={"shop.number": number}):
        time.sleep(0.05)  # a sync view runs on a thread, and may block
    return {"invoice": number}


async def find(name, number):
    with tracer.start_as_current_span(f"find {name}", attributes={"shop.number": number}):
        await asyncio.sleep(0.05)
        return f"{name} of {number}"
