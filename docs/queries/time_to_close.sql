-- How long does it take until a conversation is first closed, by month of closing?
-- Months are in UTC. Conversations that were never closed are not included.
SELECT
  strftime(epoch_ms(firstCloseAt::BIGINT), '%Y-%m') AS month,
  count(*) AS closed,
  round(median(timeToCloseMillis) / 60000, 1) AS median_minutes,
  round(quantile_cont(timeToCloseMillis, 0.9) / 60000, 1) AS p90_minutes
FROM conversation_metrics
WHERE timeToCloseMillis IS NOT NULL
GROUP BY month
ORDER BY month DESC NULLS LAST;
