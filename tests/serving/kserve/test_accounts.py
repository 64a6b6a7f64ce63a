"""Whether pods can read the store with the key that is meant for it."""

from __future__ import annotations

from dataclasses import replace

import golden
import pytest

from kale_serve_lab.serving.kserve.accounts import accounts, of_accounts
from kale_serve_lab.serving.kserve.publishing import Placed

ABOUT = golden.about((0, 20))
LISTS = {"metadata": {"name": "models"}, "secrets": [{"name": "other"}, {"name": "key"}]}


def placed(account="models", secret="key"):
    return {"predictor": Placed("s3://models/a/plain", secret, account)}


def said(there, asked=None, where=None, about=ABOUT):
    return of_accounts(asked or golden.service(), where or placed(), about, there)


def test_an_account_that_lists_the_secret_is_right():
    assert said({"models": LISTS}) == []
    assert said({"models": {"secrets": None}}, where=placed(secret=None)) == []


@pytest.mark.parametrize("secrets", [None, [], [{"name": "other"}]], ids=["none", "empty", "other"])
def test_one_that_does_not_list_it_is_said_with_the_command(secrets):
    (found,) = said({"models": {"secrets": secrets}})
    assert (found.code, found.severity, found.field) == (
        "SecretNotListed",
        "warning",
        "config.service_account",
    )
    assert found.fix == 'kubectl patch serviceaccount models -p \'{"secrets": [{"name": "key"}]}\''


def test_one_that_is_not_there_is_an_error():
    (found,) = said({"models": None})
    assert (found.code, found.severity) == ("NoServiceAccount", "error")


def test_a_secret_without_an_account_is_said_where_the_pods_own_was_not_seen():
    (found,) = said({}, where=placed(None))
    assert (found.code, found.severity, found.field) == (
        "NoServiceAccount",
        "warning",
        "config.service_account",
    )
    assert "--service-account" in found.fix
    assert said({}) == []
    assert said({"default": LISTS}, where=placed(None)) == []
    (found,) = said({"default": {}}, where=placed(None))
    assert (found.code, "ServiceAccount default does not list" in found.message) == ("SecretNotListed", True)


def test_the_users_own_account_counts():
    asked = golden.service(config={"service_account": "mine"})
    assert accounts(asked, placed(), ABOUT) == {"predictor": ("key", "mine")}
    (found,) = said({"mine": {}, "models": LISTS}, asked)
    assert "ServiceAccount mine" in found.message
    asked = golden.service(config={"predictor": {"service_account_name": "own"}})
    assert accounts(asked, placed(), ABOUT) == {"predictor": ("key", "own")}


def test_a_pod_default_gives_one_where_nobody_else_does():
    about = replace(ABOUT, pod_defaults=golden.POD_DEFAULTS)
    assert accounts(golden.service(), placed(None), about) == {"predictor": ("key", "default-editor")}
    assert accounts(golden.service(), placed(), about) == {"predictor": ("key", "models")}
    made = golden.build(golden.service(), golden.BY_NAME["kserve-sklearnserver"], placed(None), about)
    assert made["spec"]["predictor"]["serviceAccountName"] == "default-editor"


def test_the_secret_may_be_named_past_the_account():
    asked = golden.service(config={"annotations": {"serving.kserve.io/storageSecretName": "key"}})
    assert said({"models": {}}, asked) == []


def test_the_same_is_said_once_of_both_components():
    asked = golden.service("python", transformer=True)
    both = {name: Placed("s3://models/a/kale", "key", "models") for name in ("predictor", "transformer")}
    assert len(said({"models": {}}, asked, both)) == 1
