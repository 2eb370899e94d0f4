CREATE TABLE seat (
    number integer PRIMARY KEY,
    taken_by text
);

CREATE TABLE sale (
    seat integer NOT NULL REFERENCES seat,
    name text NOT NULL CHECK (name <> ''),
    sold_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO seat SELECT generate_series(1, 3);
