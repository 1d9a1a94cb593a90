-- Which inboxes are the busiest, and where do open conversations lie idle?
WITH listed AS (
  SELECT
    coalesce(inboxId::VARCHAR, '(none)') AS inbox,
    status = 'open' AS open,
    epoch_ms(updatedAt) < now() AT TIME ZONE 'UTC' - INTERVAL 30 DAYS AS idle
  FROM conversations
)
SELECT
  inbox,
  count(*) AS conversations,
  round(100 * count(*) / sum(count(*)) OVER (), 1) AS percent,
  count(*) FILTER (open) AS open,
  count(*) FILTER (open AND idle) AS idle_30_days
FROM listed
GROUP BY inbox
ORDER BY conversations DESC, inbox
LIMIT 8;
