"""The OpenAPI document is valid, and describes the URLs and the answers that there are."""

import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from app_adapter.ingress import asked
from tests.unit.app_adapter.ingress.ingress_site import IngressSite
from tests.unit.docs.markdown import ROOT, rows, section


@pytest.fixture
def document(site: IngressSite) -> Any:
    """The document as a client without a token gets it."""
    return site.get("/openapi.json", token="").json


def test_the_document_is_valid(document: Any) -> None:
    """OpenAPI 3.1, at the URL of the ingress."""
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert document["servers"] == [{"url": "http://localhost"}]


def test_every_url_is_described(site: IngressSite, document: Any) -> None:
    """With its methods."""
    served = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in site.app.url_map.iter_rules()
        if rule.endpoint.startswith("ingress.") and rule.rule != "/openapi.json"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert served == {(path, method) for path, item in document["paths"].items() for method in item}


def test_every_header_is_described(document: Any) -> None:
    """Those that a request may have."""
    read = {asked.DELAY, asked.AT, asked.PRIORITY, asked.EXPIRES, asked.KEY, asked.WITHIN, asked.ON_DUPLICATE, "Prefer"}
    for path in ("/events", "/events/{name}"):
        parameters = document["paths"][path]["post"]["parameters"]
        assert {each["name"] for each in parameters if each["in"] == "header"} == read


def test_every_status_is_described(document: Any) -> None:
    """Those in the table of errors of the page, and no others."""
    table = rows(section(ROOT / "docs" / "ingress.md", "Errors"))
    documented = {status for row in table for status in re.findall(r"\d+", row[0])}
    described = document["paths"]["/events"]["post"]["responses"].keys()
    assert described - {"200", "202", "207"} == documented
