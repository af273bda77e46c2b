"""FastAPI with a pydantic model of the row: what most services of this kind look like. It keeps nothing."""

import os

from fastapi import FastAPI
from pydantic import create_model

_columns = os.environ["YARDSTICK_COLUMNS"].split(",")
Row = create_model("Row", **dict.fromkeys(_columns, (float | None, None)))
Rows = create_model("Rows", rows=(list[Row], ...))
app = FastAPI()


@app.post("/one")
async def one(row: Row):
    return {"accepted": 1}


@app.post("/many")
async def many(rows: Rows):
    return {"accepted": len(rows.rows)}
