"""Drift's write endpoints: contacts, their tags, unsubscribing, and requests under GDPR."""

from __future__ import annotations

from typing import Any

from sandbox.answer import Answer
from sandbox.call import Call, Endpoint
from sandbox.errors import ApiError, invalid, not_found

_OK = {"result": "OK", "ok": True}
_STRINGS = ("email", "name", "phone")
_KINDS: dict[str, tuple[type, ...]] = {
    "STRING": (str,),
    "NUMERIC": (int, float),
    "BOOLEAN": (bool,),
    "DATE": (int,),
    "DATETIME": (int,),
}


def create_contact(call: Call) -> Any:
    attributes = _attributes(call)
    if not attributes.get("email"):
        raise invalid("email", "email is required")
    any_case = call.options.email_case == "insensitive"
    created = call.drift.create_contact(attributes, any_case=any_case, lag=call.options.index_lag)
    if created is None:
        raise ApiError(call.options.duplicate_status, "validation_error", "The contact already exists")
    return {"data": created}


def patch_contact(call: Call) -> Any:
    contact_id = call.path_id("contactId", "Contact")
    patched = call.drift.patch_contact(contact_id, _attributes(call))
    if patched is None:
        raise not_found(f"Contact {contact_id}")
    return {"data": patched}


def _attributes(call: Call) -> dict[str, Any]:
    """Return the attributes of the body that Drift keeps.

    Raises:
        ApiError: 400 for a null, a wrong type, or an unknown attribute if the options refuse it.
    """
    given = call.json().get("attributes")
    if not isinstance(given, dict):
        raise invalid("attributes", "attributes must be an object")
    types = {row["name"]: row["type"] for row in call.drift.contact_attributes()}
    kept = {}
    for name, value in given.items():
        if name not in types and call.options.new_attributes != "created":
            if call.options.new_attributes == "refused":
                raise invalid(name, f"There is no attribute {name}")
            continue
        if not _fits(name, value, types.get(name) if call.options.attribute_types == "enforced" else None):
            raise invalid(name, f"The value of {name} is null or has the wrong type")
        kept[name] = value
    return kept


def _fits(name: str, value: Any, kind: str | None) -> bool:
    if name == "externalId":
        return isinstance(value, str | int) and not isinstance(value, bool)
    if name in _STRINGS:
        return isinstance(value, str)
    if kind is None or isinstance(value, bool):
        return value is not None and kind in (None, "BOOLEAN")
    return isinstance(value, _KINDS[kind])


def deindex_contact(call: Call) -> Any:
    contact_id = call.path_id("contactId", "Contact")
    if not call.drift.deindex_contact(contact_id):
        raise not_found(f"Contact {contact_id}")
    return Answer(202, _OK, {})


def add_tags(call: Call) -> Any:
    given = call.json_list()
    return _tag(call, [tag.get("name") if isinstance(tag, dict) else None for tag in given])


def remove_tags(call: Call) -> Any:
    return _tag(call, call.json_list(), remove=True)


def remove_tag(call: Call) -> Any:
    return _tag(call, [call.path_params["tagName"]], remove=True)


def _tag(call: Call, names: list[Any], *, remove: bool = False) -> Any:
    contact_id = call.path_id("contactId", "Contact")
    _check_texts(names, "name")
    if call.options.tags == "gone" or call.drift.contact(contact_id) is None:
        raise not_found(f"Contact {contact_id}")
    if call.options.tags == "work":
        call.drift.tag_contact(contact_id, names, remove=remove)
    return _OK


def unsubscribe(call: Call) -> Any:
    emails = call.json_list()
    _check_texts(emails, "email")
    call.drift.unsubscribe(emails)
    return _OK


def gdpr_delete(call: Call) -> Any:
    email = call.json().get("email")
    _check_texts([email], "email")
    call.drift.erase(str(email), delay=call.options.erasure_delay)
    return {"data": {"message": "Your delete is processing"}}


def gdpr_retrieve(call: Call) -> Any:
    _check_texts([call.json().get("email")], "email")
    return {"data": {"message": "Your retrieval is processing", "sentToEmail": "owner@example.com"}}


def _check_texts(values: list[Any], param: str) -> None:
    if not all(isinstance(value, str) and value for value in values):
        raise invalid(param, f"{param} must be a text and not empty")


WRITES = (
    Endpoint("POST", "/contacts", create_contact, "contact_write"),
    Endpoint("PATCH", "/contacts/{contactId}", patch_contact, "contact_write"),
    Endpoint("DELETE", "/contacts/{contactId}", deindex_contact, "contact_write"),
    Endpoint("POST", "/contacts/{contactId}/tags", add_tags, "contact_write"),
    Endpoint("DELETE", "/contacts/{contactId}/tags/{tagName}", remove_tag, "contact_write"),
    Endpoint("POST", "/contacts/{contactId}/tags/delete/_bulk", remove_tags, "contact_write"),
    Endpoint("POST", "/emails/unsubscribe", unsubscribe, "contact_write"),
    Endpoint("POST", "/gdpr/delete", gdpr_delete, "gdpr_write"),
    Endpoint("POST", "/gdpr/retrieve", gdpr_retrieve, "gdpr_read"),
)
