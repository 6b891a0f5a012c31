-- The prior of every offer and signal. In the seed, * stands for each offer or signal without a more specific row: the
-- row of offer and signal comes first, then offer and *, then * and signal, then * and *. On signals, * leaves out the
-- intercept, which has another unit. int_seed_problems names what is no number.
with seed_rows as (

    select * from {{ ref('offer_effect_priors') }}

),

offers as (

    select * from {{ ref('offers') }}

),

signals as (

    {{ prior_signals() }}

),

matching as (

    select
        offers.offer,
        signals.signal,
        seed_rows.mean,
        seed_rows.sd,
        seed_rows.acceptance_mean,
        seed_rows.acceptance_sd,
        seed_rows.unit,
        seed_rows.source,
        row_number() over (
            partition by offers.offer, signals.signal
            order by
                case when seed_rows.offer = '*' then 2 else 0 end
                + case when seed_rows.signal = '*' then 1 else 0 end,
                seed_rows.mean,
                seed_rows.sd
        ) as match_rank
    from offers
    cross join signals
    inner join seed_rows on {{ prior_applies('seed_rows', 'offers', 'signals') }}

),

priors as (

    select
        cast(offer as string) as offer,
        cast(signal as string) as signal,
        try_cast(mean as double) as mean,
        try_cast(sd as double) as sd,
        try_cast(acceptance_mean as double) as acceptance_mean,
        try_cast(acceptance_sd as double) as acceptance_sd,
        cast(unit as string) as unit,
        cast(source as string) as source
    from matching
    where match_rank = 1

)

select * from priors
