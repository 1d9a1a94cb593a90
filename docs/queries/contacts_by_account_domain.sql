-- How many contacts have an email address in each domain, and which account has this domain?
-- The result includes domains without an account. The row without a domain counts contacts without a usable address.
WITH addressed AS (
  SELECT nullif(regexp_extract(lower(trim(attributes ->> '$.email')), '@([^@\s]+)$', 1), '') AS domain
  FROM contacts
),
found AS (
  SELECT domain, count(*) AS contacts
  FROM addressed
  GROUP BY domain
),
known AS (
  SELECT accountId, name, targeted, regexp_replace(lower(trim(accounts.domain)), '^www\.', '') AS domain
  FROM accounts
)
-- If two accounts share a domain, each has a row with all contacts of the domain.
SELECT domain, contacts, accountId AS account, name, targeted
FROM found
LEFT JOIN known USING (domain)
ORDER BY contacts DESC, domain NULLS LAST, account;
