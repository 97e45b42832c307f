"""Change of the subject whom a request is about: its texts and messages are encrypted by that subject's key."""

from featurestore.requests.models import SubjectRequest
from featurestore.subjectkeys.fields import opened


def change_subject(request: SubjectRequest, subject: str) -> None:
    """Set the subject of a request, which the caller saves in the same transaction. Raises SubjectKeyError."""
    if request.subject == subject:
        return
    messages = list(request.messages.select_related("request"))
    texts = [(message, opened(message)) for message in messages]
    own = opened(request)
    request.subject = subject
    for name, text in own.items():
        setattr(request, name, text)
    for message, told in texts:
        message.request = request
        message.text = told["text"]
        message.save(update_fields=["text"])
