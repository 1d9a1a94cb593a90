-- How many conversations began in each of the last 12 months? How many are open?
WITH began AS (
  SELECT date_trunc('month', epoch_ms(createdAt)) AS month, status
  FROM conversations
)
SELECT
  strftime(month, '%Y-%m') AS month,
  count(*) AS conversations,
  count(*) FILTER (status = 'open') AS open,
  count(*) FILTER (status = 'pending') AS pending,
  count(*) FILTER (status = 'closed') AS closed,
  count(*) FILTER (status = 'bulk_sent') AS bulk_sent,
  round(100 * open / conversations, 1) AS "open %"
FROM began
-- Ends with the newest conversation, because Drift may be shut down by now.
WHERE month > (SELECT max(month) FROM began) - INTERVAL 12 MONTHS
GROUP BY ALL
ORDER BY month;
