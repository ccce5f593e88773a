"""What the gallery keeps in its own database."""

from django.db import models


class Photo(models.Model):
    """A photograph, known by the job that works on it."""

    job = models.UUIDField(unique=True)
    title = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.title
