# SPDX-License-Identifier: MIT
"""Reports that take a while: a view orders one, a process beside the service makes it."""

import os

import flask
from redis import Redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job

redis = Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"))
queue = Queue("reports", connection=redis)

app = flask.Flask(__name__)


@app.post("/reports/<int(max=1000000):limit>")
def order(limit):
    # By its name: the service needs nothing of what a job needs.
    job = queue.enqueue("jobs.count_primes", limit, result_ttl=3600)
    return {"id": job.id}, 202, {"Location": flask.url_for("report", number=job.id)}


@app.get("/reports/<uuid:number>")
def report(number):
    try:
        job = Job.fetch(str(number), connection=redis)
    except NoSuchJobError:
        return {"error": f"there is no report {number}"}, 404
    return {"status": job.get_status(), "primes": job.return_value()}
