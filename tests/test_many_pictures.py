"""The benchmark's gallery, small: its pages open with few queries."""

from django.test import Client

from gallery.models import Image
from tests.bench.gallery import MOST_QUERIES, PAGES, addresses, fill, measure


def test_its_pages_take_few_queries(db):
    fill(600)
    assert Image.objects.search("lantern").count() == 300
    known = addresses()
    assert set(known) == set(PAGES)
    queries = {name: measure(Client(), path, times=1)[1] for name, path in known.items()}
    assert max(queries.values()) <= MOST_QUERIES, queries
