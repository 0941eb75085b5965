-- the connection goes back to the pool acting for nobody
SELECT set_config('refold.tenant', '', false)
