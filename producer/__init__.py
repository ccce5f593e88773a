"""What a web app calls: stage an upload, enqueue a job for it, ask what came of it."""

from uploadmill.producer.acceptance import Job as Job
from uploadmill.producer.staging import Staged as Staged
from uploadmill.producer.uploads import Uploads as Uploads
