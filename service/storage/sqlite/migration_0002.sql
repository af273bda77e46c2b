-- Roles by model in the place of one lease for all, and the replicas that share them. Leases last for seconds: none is kept.

DROP TABLE leases;

-- `fence` is the last that was handed out; it outlives its holder, for those that are handed out later are larger.
CREATE TABLE roles (
    model_id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    fence INTEGER NOT NULL,
    until_us INTEGER NOT NULL
);

CREATE TABLE members (
    name TEXT PRIMARY KEY,
    until_us INTEGER NOT NULL
) WITHOUT ROWID;
