"""Stage the bytes, save the row, and let the job begin only if the row stays."""

from functools import partial

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from gallery.models import Photo
from uploadmill import Uploads

uploads = Uploads()


@require_POST
def upload(request: HttpRequest) -> JsonResponse:
    staged = uploads.stage(request.FILES["file"], pipeline="photo")
    with transaction.atomic():
        Photo.objects.create(job=staged.id, title=request.POST["title"])
        transaction.on_commit(partial(uploads.accept, staged))
    return JsonResponse({"job": staged.id}, status=202)


def look(_request: HttpRequest, job_id: str) -> JsonResponse:
    return JsonResponse({"state": uploads.status(str(job_id)).state})
