-- PostgreSQL itself quotes the name, so that a publication called "Order Lines" needs no care of ours
select format('drop publication if exists %%I', %(publication)s::text) as statement
