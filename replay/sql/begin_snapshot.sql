-- the live side: one snapshot, whose checkpoint says which offset vector its rows show; it takes no xid, so it holds no reader back
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY
