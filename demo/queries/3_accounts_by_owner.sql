-- Who owns the most accounts, and how many of those are target accounts?
SELECT
  coalesce(users.name, 'user ' || ownerId, '(nobody)') AS owner,
  users.role,
  count(*) AS accounts,
  count(*) FILTER (targeted) AS targeted,
  strftime(epoch_ms(max(updateDateTime)), '%Y-%m-%d') AS last_update
FROM accounts
LEFT JOIN users ON users.id = accounts.ownerId
GROUP BY ownerId, users.name, users.role
ORDER BY accounts DESC, owner
LIMIT 8;
