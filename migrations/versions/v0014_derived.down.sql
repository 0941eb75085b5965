-- Forget what projections derived; refused while something of it is not in the log yet.
DO $$
BEGIN
    IF EXISTS (SELECT FROM projections.derived) THEN
        RAISE EXCEPTION 'projections.derived holds events that are not in the log yet'
            USING ERRCODE = 'RF003', HINT = 'Let projections run publish them first, or drop their generations: replay gc.';
    END IF;
END $$;
DROP TABLE projections.derived;
DROP TABLE projections.derived_stand;
DELETE FROM eventstore.privilege WHERE object IN ('projections.derived', 'projections.derived_stand');
