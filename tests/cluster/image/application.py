# SPDX-License-Identifier: MIT
"""What the test rolls out: its answers tell which image has given them."""

import os
import time

from flask import Flask, request

from ashapp import readiness_check

app = Flask(__name__)


@app.post("/")
def generation() -> str:
    request.get_data()
    return os.environ["GENERATION"]


@app.get("/slow")
def slow() -> str:
    time.sleep(8)
    return os.environ["GENERATION"]


@readiness_check("generation")
def is_ready() -> bool:
    return os.environ["GENERATION"] != "unready"
