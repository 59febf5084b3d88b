"""Forms are read as a browser reads them."""

from mailpact_kit.form import Form, form_with, forms_of

PAGE = """
<form action="/search"><input name="q"></form>
<form method="post" action="/login"><input name="email"><input name="password" type="password"></form>
<form method="POST" action="send?x=1">
  <input type="hidden" name="token" value="a&amp;b"><input name="email" value="before">
  <textarea name="message"></textarea>
  <input type="checkbox" name="no" value="1"><input type="checkbox" name="yes" value="1" checked>
  <button name="go">Send</button><input type="submit" name="go2">
</form><input name="outside">
"""


def test_form_is_found_by_its_fields_and_keeps_its_hidden_ones() -> None:
    assert form_with(PAGE, ["email", "message"]) == Form(
        "send?x=1", {"token": "a&b", "email": "before", "message": "", "yes": "1"}
    )


def test_forms_that_are_not_sent_by_post_do_not_count() -> None:
    assert [form.action for form in forms_of(PAGE)] == ["/login", "send?x=1"]
    assert form_with(PAGE, ["q"]) is None
