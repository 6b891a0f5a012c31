-- A customer is a customer number on an invoice line. The shop recorded no sign-up: the first invoice
-- stands for it (see README.md).

with invoice_lines as (

    select * from {{ source('online_retail', 'invoice_lines') }}

),

numbered_lines as (

    select
        customer_id,
        country,
        invoice_at,
        row_number() over (
            partition by customer_id
            order by invoice_at, invoice_no, country
        ) as line_number
    from invoice_lines
    where customer_id is not null

),

first_lines as (

    select *
    from numbered_lines
    where line_number = 1

),

customers as (

    select
        ---------- ids
        cast(customer_id as string) as customer_id,

        ---------- dates
        cast(invoice_at as date) as signed_up_on,

        ---------- text
        cast(nullif(country, 'Unspecified') as string) as region,
        cast(null as string) as acquisition_channel,
        cast(null as string) as segment
    from first_lines

)

select * from customers
