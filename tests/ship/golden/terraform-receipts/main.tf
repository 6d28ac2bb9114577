locals {
  environment = [
    {
      name  = "HOME"
      value = "/tmp"
    },
    {
      name  = "PILOTAGE_ENGINE_COMMAND"
      value = "python3"
    },
    {
      name  = "PILOTAGE_HEALTH_PATH"
      value = "/health/ready"
    },
    {
      name  = "PILOTAGE_HOME"
      value = "/models"
    },
    {
      name  = "PILOTAGE_PORT"
      value = "8000"
    },
    {
      name  = "PYTHONUNBUFFERED"
      value = "1"
    },
    {
      name  = "PILOTAGE_SPEC_YAML"
      value = file("${path.module}/spec.yaml")
    },
  ]

  secrets = [
    {
      name      = "PILOTAGE_KEYS"
      valueFrom = var.keys_secret_arn
    },
  ]
}

data "aws_subnet" "first" {
  id = var.load_balancer_subnets[0]
}

data "aws_vpc" "this" {
  id = data.aws_subnet.first.vpc_id
}

module "service" {
  source  = "infrahouse/ecs/aws"
  version = "8.4.0"

  providers = {
    aws     = aws
    aws.dns = aws
  }

  service_name = "pilotage-receipts"
  environment  = var.environment
  docker_image = var.docker_image

  tags = {
    "pilotage:deployment" = "receipts"
    "pilotage:target"     = "terraform"
  }

  asg_subnets                   = var.asg_subnets
  load_balancer_subnets         = var.load_balancer_subnets
  alb_ingress_cidr_blocks       = [data.aws_vpc.this.cidr_block]
  zone_id                       = var.zone_id
  dns_names                     = var.dns_names
  replication_region            = var.replication_region
  idle_timeout                  = 630
  load_balancing_algorithm_type = "least_outstanding_requests"
  healthcheck_path              = "/health/ready"
  asg_instance_type             = "g6e.2xlarge"
  asg_min_size                  = 2
  asg_max_size                  = 7
  asg_health_check_grace_period = 840
  root_volume_size              = 276
  gpu_count                     = 1

  cloudinit_extra_commands = [
    "install -d -o 10001 -g 10001 -m 0750 /var/models",
    "echo ECS_CONTAINER_STOP_TIMEOUT=60s >> /etc/ecs/ecs.config",
  ]

  task_desired_count                        = 2
  task_min_count                            = 2
  task_max_count                            = 6
  container_cpu                             = 7168
  container_memory                          = 61440
  service_health_check_grace_period_seconds = 840
  healthcheck_interval                      = 15
  healthcheck_timeout                       = 5
  container_healthcheck_command             = "/opt/pilotage/bin/python -m pilotage.ship.inside.check_health"
  deployment_minimum_healthy_percent        = 100
  deployment_maximum_percent                = 200
  gpu_autoscaling_target                    = 60
  container_port                            = 8000
  container_command                         = ["--host", "0.0.0.0", "--port", "8000", "--engine", "vllm"]
  task_environment_variables                = local.environment
  task_secrets                              = local.secrets

  task_local_volumes = {
    models = {
      host_path      = "/var/models"
      container_path = "/models"
    }
  }

  task_role_arn                     = var.task_role_arn
  execution_extra_policy            = var.execution_extra_policy
  dockerSecurityOptions             = ["no-new-privileges"]
  enable_deployment_circuit_breaker = true
  alarm_emails                      = var.alarm_emails
  enable_cloudwatch_logs            = true
  cloudwatch_log_group_retention    = 90
  enable_container_insights         = true
}
