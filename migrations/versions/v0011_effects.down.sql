-- Forget effects and where they stand; refused while an effect is still to be carried out.
DO $$
BEGIN
    IF EXISTS (SELECT FROM projections.effect WHERE state IN ('due', 'dead')) THEN
        RAISE EXCEPTION 'projections.effect holds effects that were not carried out'
            USING ERRCODE = 'RF003', HINT = 'Retry or skip them first: projections effects list.';
    END IF;
END $$;
DROP TABLE projections.effect;
DROP TABLE projections.effect_vector;
DELETE FROM eventstore.privilege WHERE object IN ('projections.effect_vector', 'projections.effect');
