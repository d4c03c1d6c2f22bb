from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from gallery.tests.makers import make_generation, make_model
from imagineer.metrics import Gauge
from imagineer.models import ApiToken, Cluster
from imagineer.runs import RunStatus


def bearer(user, *scopes):
    _, secret = ApiToken.issue(user, name="t", scopes=list(scopes) or None)
    return Client(headers={"Authorization": f"Bearer {secret}"})


def samples(response):
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = [line for line in response.content.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_only_operators_read_them(member, operator):
    statuses = {
        "visitor": Client().get("/metrics").status_code,
        "member": bearer(member).get("/metrics").status_code,
        "operator": bearer(operator).get("/metrics").status_code,
        "read only": bearer(operator, "read").get("/metrics").status_code,
        "operate": bearer(operator, "operate").get("/metrics").status_code,
    }
    assert statuses == {"visitor": 401, "member": 403, "operator": 200, "read only": 403, "operate": 200}
    client = Client()
    client.force_login(operator)
    assert client.get("/metrics").status_code == 200
    assert client.post("/metrics").status_code == 405
    client.force_login(member)
    assert client.get("/metrics").status_code == 403


def test_they_count_what_there_is(member, operator):
    model = make_model("tiny")
    before = samples(bearer(operator).get("/metrics"))
    old = timezone.now() - timedelta(seconds=90)
    make_generation(member, model, status=RunStatus.QUEUED, created_at=old)
    make_generation(member, model, status=RunStatus.QUEUED)
    make_generation(member, model, status=RunStatus.FAILED)
    now = timezone.now()
    Cluster.objects.create(
        name="host:generation:0", queue="generation", host="host", pid=1, workers=3, restarts=2, supervised_at=now,
        answered_at=now,
    )  # fmt: skip
    Cluster.objects.create(
        name="gone:generation:0", queue="generation", host="gone", pid=1, supervised_at=old - timedelta(hours=1)
    )
    after = samples(bearer(operator).get("/metrics"))
    assert before['imagineer_queue_oldest_seconds{queue="generation"}'] == 0
    assert after['imagineer_runs{kind="generation",status="queued"}'] == 2
    assert after['imagineer_runs{kind="generation",status="failed"}'] == 1
    assert after['imagineer_runs{kind="generation",status="running"}'] == 0
    assert after['imagineer_queue_depth{queue="generation"}'] == 2
    assert 90 <= after['imagineer_queue_oldest_seconds{queue="generation"}'] < 120
    assert after['imagineer_workers_alive{queue="generation"}'] == 3
    assert after['imagineer_workers_alive{queue="default"}'] == 0
    assert after['imagineer_cluster_restarts{queue="generation"}'] == 2
    assert 0 < after["imagineer_disk_free_bytes"] <= after["imagineer_disk_total_bytes"]


@pytest.mark.parametrize(
    ("labels", "value", "line"),
    [
        ({}, 3, "imagineer_x 3"),
        ({}, 2**40, "imagineer_x 1099511627776"),
        ({"a": 'q"\\\n'}, 0.5, r'imagineer_x{a="q\"\\\n"} 0.5'),
    ],
)
def test_the_format_is_prometheus(labels, value, line):
    assert list(Gauge("x", "Help.", [(labels, value)]).lines()) == [
        "# HELP imagineer_x Help.",
        "# TYPE imagineer_x gauge",
        line,
    ]
