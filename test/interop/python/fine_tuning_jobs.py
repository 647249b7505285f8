"""A fine-tuning job by the official Python client. Arguments: base URL, admin key, rows file. Prints what it saw as JSON."""
import json
import sys
import time

from openai import OpenAI

url, key, rows = sys.argv[1:4]
client = OpenAI(base_url=url, api_key=key, max_retries=0)
with open(rows, "rb") as file:
    uploaded = client.files.create(file=file, purpose="fine-tune")
job = client.fine_tuning.jobs.create(
    model="tiny",
    training_file=uploaded.id,
    suffix="python",
    method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}},
)
while job.status not in ("succeeded", "failed", "cancelled"):
    time.sleep(0.2)
    job = client.fine_tuning.jobs.retrieve(job.id)
events = list(client.fine_tuning.jobs.list_events(job.id))
checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
answer = client.chat.completions.create(
    model=job.fine_tuned_model, messages=[{"role": "user", "content": "say a"}], max_tokens=4
)
print(
    json.dumps(
        {
            "content": client.files.content(uploaded.id).read().decode(),
            "files": [file.id for file in client.files.list(purpose="fine-tune")],
            "uploaded": uploaded.id,
            "job": job.model_dump(mode="json"),
            "jobs": [each.id for each in client.fine_tuning.jobs.list()],
            "events": [event.message for event in events],
            "checkpoints": [checkpoint.step_number for checkpoint in checkpoints],
            "metrics": client.files.content(job.result_files[0]).read().decode(),
            "answer": answer.model,
            "deleted": client.files.delete(uploaded.id).deleted,
        }
    )
)
