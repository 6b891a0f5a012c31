-- One row per invoice; an invoice without a customer keeps a null customer_id and is quarantined later. Money is summed
-- in decimals, so that the sum does not depend on the order.

with invoice_lines as (

    select * from {{ source('online_retail', 'invoice_lines') }}

),

distinct_lines as (

    -- the file repeats lines exactly; each counts once
    select distinct
        invoice_no,
        stock_code,
        description,
        quantity,
        invoice_at,
        unit_price,
        customer_id,
        country
    from invoice_lines

),

priced_lines as (

    select
        customer_id,
        invoice_no,
        invoice_at,
        quantity * cast(unit_price as decimal(18, 4)) as amount,
        -- other codes are products
        case
            when upper(stock_code) in (
                'POST', 'DOT', 'C2', 'C3',                -- carriage
                'M', 'D', 'S', 'B', 'ADJUST', 'ADJUST2',  -- manual entries, discounts, samples, corrections
                'BANK CHARGES', 'AMAZONFEE', 'CRUK',      -- fees and commission
                'TEST001', 'TEST002'
            ) then 0
            else quantity
        end as item_quantity
    from distinct_lines

),

invoices as (

    select
        customer_id,
        invoice_no,
        min(invoice_at) as invoiced_at,
        sum(item_quantity) as item_quantity,
        sum(amount) as amount
    from priced_lines
    group by customer_id, invoice_no

),

activity as (

    select
        ---------- ids
        cast(customer_id as string) as customer_id,

        ---------- timestamps
        cast(invoiced_at as timestamp) as occurred_at,

        ---------- text
        cast(
            case
                when invoice_no like 'C%' then 'cancellation'
                when item_quantity > 0 and amount > 0 then 'order'
                else 'adjustment'
            end as string
        ) as activity_type,

        ---------- numbers
        cast(item_quantity as bigint) as quantity,
        cast(amount as decimal(18, 2)) as amount
    from invoices

)

select * from activity
