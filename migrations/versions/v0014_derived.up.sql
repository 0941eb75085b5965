-- Events that projections derive: written with the rows that they follow from, published afterwards by one process a generation.

-- Where each partition of a generation's derived topic stands: its next number, and the position of the event that the last one followed from.
CREATE TABLE projections.derived_stand (
    generation  bigint  NOT NULL REFERENCES projections.generation (id),
    partition   integer NOT NULL,
    next_number bigint  NOT NULL DEFAULT 1,
    xid         bigint,
    sequence    bigint,
    PRIMARY KEY (generation, partition)
);
COMMENT ON TABLE projections.derived_stand IS 'How many derived events each partition of a generation has had, and the store position that the newest one followed from';

-- What is not known to be in the derived topic yet. Numbers have no gaps: whoever moves the checkpoint of the partition gives them.
CREATE TABLE projections.derived (
    generation  bigint  NOT NULL REFERENCES projections.generation (id),
    partition   integer NOT NULL,
    number      bigint  NOT NULL,
    timestamp   bigint  NOT NULL,
    key         bytea   NOT NULL,
    value       bytea   NOT NULL,
    PRIMARY KEY (generation, partition, number)
);
COMMENT ON TABLE projections.derived IS 'Derived events on their way into the log; a row goes when its record is there';

INSERT INTO eventstore.privilege (kind, object, duty, privileges) VALUES
    ('table', 'projections.derived_stand', 'projector', 'SELECT, INSERT, UPDATE, DELETE'),
    ('table', 'projections.derived_stand', 'reader', 'SELECT'),
    ('table', 'projections.derived', 'projector', 'SELECT, INSERT, DELETE');
SELECT eventstore.settle_roles_v1();
