import pytest

from imagineer.models import User
from tests.people import make_user


@pytest.fixture
def member(db: None) -> User:
    return make_user("member", "member")


@pytest.fixture
def operator(db: None) -> User:
    return make_user("operator", "operator", "member")
