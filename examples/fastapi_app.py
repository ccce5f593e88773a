"""Take photographs with FastAPI: the bytes are staged in a thread, off the event loop.

Run it with ``uvicorn fastapi_app:app``.
"""

from fastapi import FastAPI, UploadFile
from fastapi.concurrency import run_in_threadpool

from uploadmill import Uploads

app = FastAPI()
uploads = Uploads()


@app.post("/photos", status_code=202)
async def upload(file: UploadFile) -> dict[str, str]:
    job = await run_in_threadpool(uploads.enqueue, file, pipeline="photo")
    return {"job": job.id}


@app.get("/photos/{job_id}")
def look(job_id: str) -> dict[str, str]:
    return {"state": uploads.status(job_id).state}
