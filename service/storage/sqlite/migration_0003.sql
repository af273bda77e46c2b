-- Of each sender that numbers its commits, the last: what it sends takes no more room with time.
CREATE TABLE turns (
    model_id INTEGER NOT NULL,
    sender TEXT NOT NULL,
    number INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    PRIMARY KEY (model_id, sender)
) WITHOUT ROWID;
